"""Resolve `stage` sentences and stated laws, and check that a file has exactly one route and an end."""

from __future__ import annotations

from typing import Any

import attrs

from shapeflow.base.diagnostics import Label, Report, Span
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Dimension
from shapeflow.ir.route import END, Leg, Route, Share, Until
from shapeflow.language import syntax
from shapeflow.stages.resolve.axes import Space
from shapeflow.stages.resolve.components import build
from shapeflow.stages.resolve.sentences import Sentences
from shapeflow.stages.resolve.values import Names, Unsettled, amount


@attrs.frozen
class Ways:
    """Resolves the route of a file through the candidates of `space`."""

    sentences: Sentences
    space: Space
    names: Names
    report: Report
    lengths: tuple[Dimension, ...]
    """The dimensions that durations may have."""
    place: str
    """The file's name, for errors about something that the file lacks."""

    def by_hand(self) -> Route | None:
        """The legs of the `stage` sentences, in the order of the file; None if there are none."""
        legs = []
        sentences = self.sentences.all(syntax.Stage)
        for number, sentence in enumerate(sentences, 1):
            try:
                legs.append(self.leg(sentence))
            except Unsettled:
                continue
            if (sentence.until is None) != (number == len(sentences)):
                self.out_of_order(sentence)
        return Route(tuple(legs)) if sentences else None

    def out_of_order(self, sentence: syntax.Stage) -> None:
        if sentence.until is None:
            message, why = "a stage follows one that runs `until end`", "runs to the end of the plan"
            help_ = "end this stage earlier, such as `until 40%`, or put it last"
        else:
            message, why = "the last stage must run `until end`", "the last stage"
            help_ = "end the last stage with `until end`"
        self.report.error("stage-order", message, sentence.span, why, help=help_)

    def leg(self, sentence: syntax.Stage) -> Leg:
        shape = self.space.literal(sentence.shape, self.names, self.report)
        shares, total = [], 0.0
        for blend in sentence.blends:
            part = amount(blend.share, ("ratio",), self.names, self.report).value
            total += part
            shares.append(Share(self.space.literal(blend.shape, self.names, self.report, partial=shape), part))
            if not 0 < part < 1 or total >= 1:
                why = "all shares together must stay below 100%" if 0 < part < 1 else "must be above 0% and below 100%"
                self.report.error("out-of-range", f"a share of {part:.0%} is out of range", blend.share.span, why)
                raise Unsettled
        if sentence.until is None:
            return Leg(shape, END, tuple(shares))
        notes = countable(self.lengths)
        until = amount(sentence.until, (*self.lengths, "ratio"), self.names, self.report, notes)
        if until.value <= 0:
            written, why = sentence.until.span, "must be above 0: it counts from the start of the run"
            self.report.error("out-of-range", f"`{written.text}` is out of range", written, why)
        if until.dimension == "ratio" and self.sentences.get(syntax.Budget) is None:
            self.report.error(
                "no-end",
                "a percentage needs a budget, and the file has none",
                sentence.until.span,
                "a percentage of the budget",
                help="add a budget, such as `budget 1000 steps`",
            )
        if until.dimension == "ratio" and until.value > 1:
            why = "must be at most 100% of the budget"
            self.report.error("out-of-range", f"`{sentence.until.span.text}` is out of range", sentence.until.span, why)
        return Leg(shape, Until(amount=until), tuple(shares))

    def stated(self) -> dict[Shape, Any]:
        """Candidate -> the law that a sentence states for it."""
        found: dict[Shape, Any] = {}
        spans: dict[Shape, Span] = {}
        for sentence in self.sentences.all(syntax.LawFor):
            try:
                shape = self.space.literal(sentence.shape, self.names, self.report)
                built = build("law", sentence.law, self.names, self.report)
            except Unsettled:
                continue
            if shape in found:
                other = (Label(spans[shape], "the first one"),)
                message = f"a second law for {sentence.shape.span.text}"
                self.report.error("repeated-sentence", message, sentence.shape.span, "repeated here", also=other)
            found[shape] = built.component
            spans.setdefault(shape, sentence.shape.span)
        return found

    def check(self) -> None:
        """Check that the file has either a traversal or `stage` sentences, and an end."""
        traversal, stages = self.sentences.get(syntax.Traversal), self.sentences.all(syntax.Stage)
        if not stages and traversal is None:
            self.report.error(
                "missing-sentence",
                "the file has neither a `traversal` nor `stage` sentences",
                place=self.place,
                help="write `traversal steepest`, or the stages by hand",
            )
        self.check_end()
        if stages and traversal is not None:
            self.report.error(
                "two-ways",
                "the file has a `traversal` and `stage` sentences",
                traversal.span,
                "picks the stages",
                also=[Label(stages[0].span, "sets them by hand")],
                help="keep one of the two",
            )

    def unused(self, budget: Span) -> None:
        """Warn of each error in the file that has no effect because there are no laws."""
        for word, sentence in (
            ("stop", self.sentences.get(syntax.StopWhen)),
            ("start", self.sentences.get(syntax.StartAt)),
        ):
            if sentence is not None:
                self.report.warning(
                    "unused-error",
                    f"without laws `{word}` is not used",
                    sentence.span,
                    "only laws predict errors",
                    also=[Label(budget, "the plan ends at the budget")] if word == "stop" else [],
                    help=f"add laws, or leave `{word}` out",
                )

    def check_end(self) -> None:
        """Check that the plan has an end: a budget, or an error if there are laws."""
        stop = self.sentences.get(syntax.StopWhen)
        laws = self.sentences.get(syntax.LawsFrom) is not None or self.sentences.all(syntax.LawFor)
        budget = self.sentences.get(syntax.Budget)
        if budget is not None and not laws:
            self.unused(budget.span)
        if budget is not None or (stop is not None and laws):
            return
        if stop is not None:
            message, why = "without laws `stop` cannot end the plan", "only laws predict errors"
            self.report.error("no-end", message, stop.span, why, help="add a budget, such as `budget 10 PFLOPs`")
            return
        self.report.error(
            "no-end",
            "the plan has no end: the file has neither `budget` nor `stop`",
            place=self.place,
            help="write `budget 10 PFLOPs`, or `stop when error <= 24%`",
        )


def countable(lengths: tuple[Dimension, ...]) -> tuple[str, ...]:
    """A note for a file without a model that counts in something else than FLOPs; empty with a model."""
    return ("steps, epochs, seconds and amounts of data need a `model`",) if lengths == ("compute",) else ()
