"""Names to components, units to base units, axes to candidates: a Document becomes a Program."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow import registry, syntax
from shapeflow.diagnostics import Label, Report, Span
from shapeflow.edits import EditError
from shapeflow.program import AxisUse, Program, Trained
from shapeflow.resolve.axes import Space, axis_use, space
from shapeflow.resolve.components import Built, build
from shapeflow.resolve.sentences import Opener, Sentences, collect, names
from shapeflow.resolve.values import Names, Unsettled, amount
from shapeflow.route import END, Leg, Route, Share, Until
from shapeflow.shapes import Shape
from shapeflow.units import Amount, Dimension

__all__ = ["resolve"]

DEFAULT_METRIC = {"images": "classification_error", "text": "loss"}


def resolve(
    document: syntax.Document,
    overrides: tuple[syntax.Document, ...],
    folder: str,
    open_document: Opener,
    report: Report,
) -> Program | None:
    """The program of a file, or None after errors were reported.

    `overrides` are sentences of the command line, which replace the file's; `open_document` finds a used file.
    """
    sentences = collect(document, overrides, report)
    known = names(sentences, folder, open_document, report)
    if report.failed:
        return None
    work = _Resolving(sentences, known, report, sentences.spans())
    try:
        program = work.program(hashlib.sha256(document.source.text.encode()).hexdigest(), folder)
    except Unsettled:
        return None
    return None if report.failed else program


@attrs.define
class _Resolving:
    """The parts of a program as they are made; each part reports what is wrong with it and the next goes on."""

    sentences: Sentences
    names: Names
    report: Report
    spans: dict[str, Span]

    lengths: tuple[Dimension, ...] = ("compute",)
    """What durations may be counted in; steps and data too once there is a model."""

    def program(self, source: str, folder: str) -> Program:
        axes = self.axes()
        parts = {word: self.component(kind, word) for kind, word in _PARTS.items()}
        candidates = self.space(axes)
        trained = self.trained(parts, axes, candidates)
        if trained is not None:
            self.lengths = ("compute", *trained.lengths)
        metric = self.metric(parts["metric"], trained)
        by_hand, leg_spans = self.stages(candidates)
        stated = self.stated(candidates)
        self.ways(by_hand, stated, parts)
        if self.report.failed:
            raise Unsettled
        title = self.sentences.get(syntax.PlanName)
        return Program(
            name=title.name.value if title else "",
            source=source,
            folder=folder,
            axes=tuple(axes),
            candidates=candidates.candidates,
            metric=metric,
            convention=trained.model_component.convention if trained else "flops",
            trained=trained,
            law_source=parts["laws"],
            stated=stated,
            traversal=parts["traversal"],
            by_hand=by_hand,
            budget=self.amount(syntax.Budget, self.lengths),
            start=self.start(),
            stop=self.stop(),
            evaluate=self.amount(syntax.Evaluate, (*self.lengths, "ratio")),
            checkpoint=self.amount(syntax.Checkpoint, (*self.lengths, "ratio")),
            seed=self.seed(),
            spans=self.spans,
            leg_spans=leg_spans,
        )

    def axes(self) -> list[AxisUse]:
        found = []
        for sentence in self.sentences.all(syntax.Axis):
            try:
                use, built = axis_use(sentence, self.names, self.report)
            except Unsettled:
                continue
            found.append(use)
            self.keep(f"axis.{use.name}", built)
        if not found and not self.report.failed:
            self.report.error(
                "no-axis",
                "the file has no `axis`, so there is no shape to choose",
                place="the whole file",
                help="say what may vary: `axis context in [64, 256] tokens via context_grow`",
            )
            raise Unsettled
        return found

    def component(self, kind: type[syntax.OfComponent], word: str) -> Any | None:
        sentence = self.sentences.get(kind)
        if sentence is None:
            return None
        try:
            built = build(_KIND.get(word, word), sentence.component, self.names, self.report)
        except Unsettled:
            return None
        self.keep(word, built)
        return built.component

    def keep(self, word: str, built: Built) -> None:
        self.spans.update({f"{word}.{name}": span for name, span in built.spans.items()})

    def space(self, axes: list[AxisUse]) -> Space:
        if self.report.failed:
            raise Unsettled
        return space(axes, self.sentences.get(syntax.Candidates), self.names, self.report)

    def trained(self, parts: Mapping[str, Any], axes: list[AxisUse], space: Space) -> Trained | None:
        """Model and data together, every candidate checked; None where the file has no model."""
        model, data = parts["model"], parts["data"]
        if self.sentences.get(syntax.Model) is None:
            for word in ("data", "objective", "optimizer"):
                if word in self.spans:
                    self.report.error("no-model", f"`{word}` without a `model`", self.spans[word], "nothing to train")
            return None
        for word in ("data", "objective"):
            if word not in self.spans:
                message = f"the file has a `model` but no `{word}`"
                self.report.error("missing-sentence", message, self.spans["model"], f"needs a `{word}` sentence")
        if self.report.failed:
            raise Unsettled
        facts = data.facts()
        if parts["objective"].data != facts.kind:
            self.mismatch("objective", parts["objective"].data, facts.kind)
        with_axes = {axis.name for axis in axes}
        for axis in axes:
            if axis.name not in model.axes:
                message = f"`{self.spans['model.'].text}` has no {axis.name} to vary"
                self.report.error(
                    "not-of-model", message, axis.span, f"axes of this model: {', '.join(sorted(model.axes))}"
                )
        if self.report.failed:
            raise Unsettled
        stored = {
            name: size for axis in axes for name, size in self.checked(axis, axis.transition.stored, facts).items()
        }
        declared = self.declared(model, facts, stored)
        trained = Trained(
            model, data, parts["objective"], parts["optimizer"] or self.default("optimizer"), facts, declared
        )
        assert with_axes <= model.axes
        self.check_shapes(trained, axes, space)
        return trained

    def checked(self, axis: AxisUse, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except EditError as error:
            self.edit_error(error, axis.via)
            raise Unsettled from error

    def declared(self, model: Any, facts: Any, stored: Mapping[str, int]) -> Any:
        try:
            return model.declare(facts, stored)
        except EditError as error:
            self.edit_error(error, self.spans["model."])
            raise Unsettled from error

    def check_shapes(self, trained: Trained, axes: list[AxisUse], space: Space) -> None:
        """Every value of every axis against the data and the model, then every candidate as a whole."""
        kinds = registry.components("axis")
        for axis in axes:
            for value in axis.values:
                try:
                    kinds[axis.name]().check(value, trained.facts, trained.model)
                except EditError as error:
                    also = [Label(self.spans["data."], "the data is set here")]
                    self.edit_error(error, axis.value_spans[value], also)
        if self.report.failed:
            raise Unsettled
        for shape in space.candidates:
            try:
                whole = trained.model_component.shape(shape)
                trained.model.sizes(whole)
                trained.model.samples(whole)
            except EditError as error:
                last = space.axes[-1]
                self.edit_error(error, last.value_spans[shape[last.name]])

    def edit_error(self, error: EditError, at: Span, also: list[Label] | None = None) -> None:
        self.report.error(error.code, error.message, at, error.why, also=also or (), notes=error.notes, help=error.help)

    def default(self, kind: str) -> Any:
        return registry.components(kind)["adamw"]()

    def mismatch(self, word: str, wants: str, has: str) -> None:
        self.report.error(
            "wrong-data",
            f"`{self.spans[word + '.'].text}` is for {wants}, and the data is {has}",
            self.spans[f"{word}."],
            f"for {wants}",
            also=[Label(self.spans["data."], f"gives {has}")],
        )

    def metric(self, metric: Any, trained: Trained | None) -> Any:
        if metric is None:
            name = DEFAULT_METRIC[trained.facts.kind] if trained else "loss"
            return registry.components("metric")[name]()
        if trained is not None and metric.data != trained.facts.kind:
            self.mismatch("metric", metric.data, trained.facts.kind)
        return metric

    def stages(self, space: Space) -> tuple[Route | None, tuple[Span, ...]]:
        """The legs of the `stage` sentences, in the file's order."""
        legs = []
        sentences = self.sentences.all(syntax.Stage)
        for number, sentence in enumerate(sentences, 1):
            try:
                legs.append(self.leg(sentence, space))
            except Unsettled:
                continue
            if (sentence.until is None) != (number == len(sentences)):
                self.report.error(
                    "stage-order",
                    "only the last stage runs `until end`, and it must"
                    if sentence.until
                    else "a stage follows the end",
                    sentence.span,
                    "the last stage" if sentence.until else "runs to the end already",
                    help="end the last stage with `until end`" if sentence.until else None,
                )
        return (Route(tuple(legs)) if sentences else None), tuple(sentence.span for sentence in sentences)

    def leg(self, sentence: syntax.Stage, space: Space) -> Leg:
        shape = space.literal(sentence.shape, self.names, self.report)
        shares, total = [], 0.0
        for blend in sentence.blends:
            part = amount(blend.share, ("ratio",), self.names, self.report).value
            total += part
            shares.append(Share(space.literal(blend.shape, self.names, self.report, partial=shape), part))
            if not 0 < part < 1 or total >= 1:
                self.report.error(
                    "out-of-range",
                    f"a share of {part:.0%} is out of range",
                    blend.share.span,
                    "shares add up to less than 100%",
                )
                raise Unsettled
        if sentence.until is None:
            return Leg(shape, END, tuple(shares))
        until = amount(sentence.until, (*self.lengths, "ratio"), self.names, self.report)
        return Leg(shape, Until(amount=until), tuple(shares))

    def stated(self, space: Space) -> dict[Shape, Any]:
        found: dict[Shape, Any] = {}
        for sentence in self.sentences.all(syntax.LawFor):
            try:
                shape = space.literal(sentence.shape, self.names, self.report)
                built = build("law", sentence.law, self.names, self.report)
            except Unsettled:
                continue
            if shape in found:
                self.report.error(
                    "repeated-sentence", f"a second law for {sentence.shape.span.text}", sentence.span, "again"
                )
            found[shape] = built.component
            self.spans[f"law for {shape}"] = sentence.span
        return found

    def ways(self, by_hand: Route | None, stated: Mapping[Shape, Any], parts: Mapping[str, Any]) -> None:
        """A way is picked by a traversal or told by hand, not both, not neither; a traversal needs laws."""
        traversal = self.sentences.get(syntax.Traversal)
        if by_hand is None and traversal is None:
            self.report.error(
                "missing-sentence",
                "the file says no way: neither `traversal` nor `stage`",
                place="the whole file",
                help="write `traversal steepest`, or the stages by hand",
            )
        if not ({"budget", "stop"} & self.spans.keys()):
            self.report.error(
                "no-end",
                "the file says no end: neither `budget` nor `stop`",
                place="the whole file",
                help="write `budget 10 PFLOPs`, or `stop when error <= 24%`",
            )
        shares = (
            [leg for leg in by_hand.legs if leg.until.amount is not None and leg.until.amount.dimension == "ratio"]
            if by_hand
            else []
        )
        if shares and "budget" not in self.spans:
            self.report.error(
                "no-end",
                "a percent of a budget that the file does not say",
                place="the `stage` sentences",
                help="add a `budget` sentence",
            )
        if by_hand is not None and traversal is not None:
            first = self.sentences.all(syntax.Stage)[0]
            self.report.error(
                "two-ways",
                "the file has a `traversal` and `stage` sentences",
                traversal.span,
                "picks the stages",
                also=[Label(first.span, "says them by hand")],
                help="keep one of the two",
            )

    def amount(self, kind: type, accepted: tuple[Dimension, ...]) -> Amount | None:
        sentence = self.sentences.get(kind)
        if sentence is None:
            return None
        value = sentence.value if isinstance(sentence, syntax.Budget) else sentence.every
        try:
            found = amount(value, accepted, self.names, self.report)
        except Unsettled:
            return None
        if found.value <= 0:
            self.report.error("out-of-range", f"`{value.span.text}` is out of range", value.span, "must be above 0")
        return found

    def start(self) -> float | None:
        sentence = self.sentences.get(syntax.StartAt)
        return amount(sentence.value, ("ratio",), self.names, self.report).value if sentence else None

    def stop(self) -> float | None:
        sentence = self.sentences.get(syntax.StopWhen)
        if sentence is None:
            return None
        condition = sentence.condition
        if condition.axis != "error" or condition.operator not in ("<=", "<"):
            message = "a plan stops at an error"
            self.report.error(
                "wrong-kind", message, condition.span, "must be `error <= ...`", help="write `stop when error <= 24%`"
            )
            raise Unsettled
        return amount(condition.value, ("ratio",), self.names, self.report).value

    def seed(self) -> int:
        sentence = self.sentences.get(syntax.Seed)
        if sentence is None:
            return 0
        whole = sentence.number.whole
        if whole is None or not 0 <= whole < 2**31:
            self.report.error("out-of-range", "a seed is a whole number", sentence.number.span, "must be 0 or more")
            raise Unsettled
        return whole


_PARTS: Mapping[type[syntax.OfComponent], str] = {
    syntax.Model: "model",
    syntax.Data: "data",
    syntax.Objective: "objective",
    syntax.Optimizer: "optimizer",
    syntax.Metric: "metric",
    syntax.LawsFrom: "laws",
    syntax.Traversal: "traversal",
}
_KIND = {"laws": "law source"}
