"""Resolve a `Document` to a `Program`: names to components, units to base units, axes to candidates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Label, Refused, Report, Span
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.program import AxisUse, Program, Trained
from shapeflow.ir.weights import Weights
from shapeflow.language import syntax
from shapeflow.stages.resolve.axes import Space, axis_use, space
from shapeflow.stages.resolve.components import Built, build
from shapeflow.stages.resolve.costs import budget_notes, budget_units, check_cost
from shapeflow.stages.resolve.retention import retention
from shapeflow.stages.resolve.sentences import Opener, Sentences, collect, names
from shapeflow.stages.resolve.teachers import first_weights
from shapeflow.stages.resolve.trained import Training
from shapeflow.stages.resolve.values import Names, Unsettled, amount
from shapeflow.stages.resolve.ways import Ways, countable
from shapeflow.stages.resolve.weights import later_weights

__all__ = ["resolve"]

DEFAULT_METRIC = {"images": "classification_error", "text": "loss", "vectors": "squared_error"}


def resolve(
    document: syntax.Document,
    overrides: tuple[syntax.Document, ...],
    folder: str,
    open_document: Opener,
    report: Report,
) -> Program | None:
    """The program of a file, or None after errors were reported.

    `overrides`: sentences of the command line, which replace those of the file. `open_document`: opens a file that a
    `use` sentence names.
    """
    sentences = collect(document, overrides, report)
    known = names(sentences, folder, open_document, report)
    if report.failed:
        return None
    work = _Resolving(sentences, known, report, sentences.spans(), document.source.name)
    try:
        program = work.program(hashlib.sha256(document.source.text.encode()).hexdigest(), folder)
    except Unsettled:
        return None
    return None if report.failed else program


@attrs.define
class _Resolving:
    """Builds the parts of a program. After an error in one part, the next parts are still checked."""

    sentences: Sentences
    names: Names
    report: Report
    spans: dict[str, Span]
    place: str
    """The file's name, for errors about something that the file lacks."""

    lengths: tuple[Dimension, ...] = ("compute",)
    """The dimensions that durations may have; with a model also steps and data."""

    def program(self, source: str, folder: str) -> Program:
        axes = self.axes()
        listed = (value for axis in axes for value in axis.values)
        self.names = attrs.evolve(self.names, values=frozenset(name for name in listed if isinstance(name, str)))
        parts = {word: self.component(kind, word) for kind, word in _PARTS.items()}
        candidates = self.space(axes)
        self.shapes_of(syntax.Traversal, candidates)
        training = Training(parts, self.spans, folder, self.report)
        trained = self.trained(axes, candidates, training)
        if trained is not None:
            self.lengths = ("compute", *trained.lengths)
        metric = self.metric(parts["metric"], trained, training)
        ways = Ways(self.sentences, candidates, self.names, self.report, self.lengths, self.place)
        by_hand, stated = ways.by_hand(), ways.stated()
        ways.check()
        if self.report.failed:
            raise Unsettled
        title = self.sentences.get(syntax.PlanName)
        program = Program(
            name=title.name.value if title else "",
            source=source,
            folder=folder,
            axes=tuple(axes),
            candidates=candidates.candidates,
            metric=metric,
            convention=trained.model_component.convention if trained else "flops",
            trained=trained,
            law_source=parts["laws"],
            law_sources=registry.components("law source") if parts["laws"] is not None else {},
            credits_path=self.path(syntax.CreditsFrom, "credits"),
            profile_path=self.path(syntax.ProfileFrom, "profile"),
            profile_for_all=(timed := self.sentences.get(syntax.ProfileFrom)) is not None and timed.every,
            start_path=self.path(syntax.StartFrom, "start from"),
            first=self.first(folder, trained),
            weights=later_weights(self.sentences.all(syntax.Weights), trained, self.lengths, self.names, self.report),
            stated=stated,
            traversal=parts["traversal"],
            by_hand=by_hand,
            cost=parts["minimise"],
            budget=self.amount(syntax.Budget, budget_units(parts["minimise"], self.lengths)),
            start=self.start(),
            stop=self.stop(),
            schedule=parts["schedule"],
            cooldown=self.cooldown(),
            evaluate=self.amount(syntax.Evaluate, (*self.lengths, "ratio")),
            held_out=self.held_out(trained),
            checkpoint=self.amount(syntax.Checkpoint, (*self.lengths, "ratio")),
            keep=retention(self.sentences.get(syntax.Checkpoint), self.report),
            seed=self.seed(),
            spans=self.spans,
            leg_spans=tuple(stage.shape.span for stage in self.sentences.all(syntax.Stage)),
        )
        self.one_decay(program)
        check_cost(program.cost, program.budget, trained is not None, self.spans, self.report)
        return program

    def axes(self) -> list[AxisUse]:
        found = []
        for sentence in self.sentences.all(syntax.Axis):
            try:
                use, built = axis_use(sentence, self.sentences.get(syntax.Model) is None, self.names, self.report)
            except Unsettled:
                continue
            found.append(use)
            for word, one in built.items():
                self.keep(word, one)
        if not found and not self.report.failed:
            self.report.error(
                "no-axis",
                "the file has no `axis`, so there is no shape to choose",
                place=self.place,
                help="add an axis: `axis context in [64, 256] tokens via context_grow`",
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

    def shapes_of(self, kind: type[syntax.OfComponent], space: Space) -> None:
        """Check the shapes in a component's settings against the axes of the file."""
        sentence = self.sentences.get(kind)
        written = None if sentence is None else self.names.expand(sentence.component, self.report)
        if not isinstance(written, syntax.Component):
            return
        for value in (*written.arguments, *(setting.value for setting in written.settings)):
            literal = self.names.expand(value, self.report)
            if isinstance(literal, syntax.ShapeLiteral):
                space.partial(literal, self.names, self.report)

    def keep(self, word: str, built: Built) -> None:
        self.spans.update({f"{word}.{name}": span for name, span in built.spans.items()})

    def space(self, axes: list[AxisUse]) -> Space:
        if self.report.failed:
            raise Unsettled
        return space(axes, self.sentences.get(syntax.Candidates), self.names, self.report)

    def trained(self, axes: list[AxisUse], space: Space, training: Training) -> Trained | None:
        """Model and data together; None if the file has no model."""
        if self.sentences.get(syntax.Model) is not None:
            return training.trained(axes, space)
        for word in ("data", "objective", "optimizer", "schedule", "cooldown", "credits", "profile", "start from"):
            if word in self.spans:
                help_ = f"add a `model` sentence, or leave `{word}` out"
                message = f"`{word}` without a `model`"
                why = "measured on a model" if word in ("credits", "profile") else "nothing to train"
                self.report.error("no-model", message, self.spans[word], why, help=help_)
        return None

    def metric(self, metric: Any, trained: Trained | None, training: Training) -> Any:
        if metric is None:
            name = DEFAULT_METRIC[trained.facts.kind] if trained else "loss"
            return registry.components("metric")[name]()
        if trained is not None and metric.data != trained.facts.kind:
            training.mismatch("metric", metric.data, trained.facts.kind)
        return metric

    def path(self, kind: type[syntax.CreditsFrom | syntax.ProfileFrom | syntax.StartFrom], word: str) -> str | None:
        """The path in a sentence that names a file; None without one."""
        sentence = self.sentences.get(kind)
        if sentence is None:
            return None
        self.spans[f"{word}.path"] = sentence.path.span
        return sentence.path.value

    def first(self, folder: str, trained: Trained | None) -> Weights | None:
        """The weights that the first stage starts from; None without them, or after reporting an error."""
        sentence = self.sentences.get(syntax.StartFrom)
        if sentence is None or trained is None:
            return None
        try:
            return first_weights(Path(folder, sentence.path.value))
        except Refused as refused:
            for wrong in refused.diagnostics:
                self.report.error(
                    wrong.code, wrong.message, sentence.path.span, "these weights", notes=wrong.notes, help=wrong.help
                )
            return None

    def amount(self, kind: type, accepted: tuple[Dimension, ...]) -> Amount | None:
        sentence = self.sentences.get(kind)
        if sentence is None:
            return None
        value = sentence.value if isinstance(sentence, syntax.Budget | syntax.Cooldown) else sentence.every
        unpriced = kind is syntax.Budget and self.sentences.get(syntax.Minimise) is None
        notes = budget_notes(value) if unpriced else ()
        try:
            found = amount(value, accepted, self.names, self.report, [*countable(self.lengths), *notes])
        except Unsettled:
            return None
        if found.value < 0 or (found.value == 0 and kind is not syntax.Cooldown):
            why = "must be at least 0" if kind is syntax.Cooldown else "must be above 0"
            self.report.error("out-of-range", f"`{value.span.text}` is out of range", value.span, why)
        if found.dimension == "ratio" and found.value > 1:
            why = "must be at most 100%"
            self.report.error("out-of-range", f"`{value.span.text}` is out of range", value.span, why)
        return found

    def held_out(self, trained: Trained | None) -> int | None:
        """The number of tokens or images of an evaluation; None if the file does not state it."""
        sentence = self.sentences.get(syntax.Evaluate)
        if sentence is None or sentence.on is None:
            return None
        span = sentence.on.span
        units = () if trained is None else _HELD_OUT.get(trained.facts.kind, ())
        if trained is None or not units:
            message, why = "the file has no held-out data to evaluate on", "an evaluation has this size"
            self.report.error("no-model", message, span, why, help="leave out `on`, or add a model and data")
            return None
        try:
            found = amount(sentence.on, units, self.names, self.report)
        except Unsettled:
            return None
        most = trained.facts.held_out
        if found.value < 1 or found.value != int(found.value):
            self.report.error("out-of-range", f"`{span.text}` is out of range", span, "must be a whole number above 0")
        elif most is not None and found.value > most:
            message, why = f"the plan evaluates on `{span.text}`", f"the held-out data has {most:,}"
            help_ = f"write a number up to {most:,}, or hold out more data"
            self.report.error("too-little-held-out", message, span, why, help=help_)
        return int(found.value)

    def cooldown(self) -> Amount | None:
        """The length of the cooldown. None without one, and for 0, which the command line uses to remove a file's
        cooldown."""
        found = self.amount(syntax.Cooldown, (*self.lengths, "ratio"))
        return found if found is not None and found.value else None

    def one_decay(self, program: Program) -> None:
        """Report `two-decays` if the file has both a schedule and a cooldown: no published curve combines them."""
        if program.decay is None or program.cooldown is None:
            return
        message, why = "both `schedule` and `cooldown` lower the learning rate", "lowers it over the whole run"
        also, help_ = (Label(self.spans["cooldown"], "lowers it over the last part"),), "leave one of the two out"
        self.report.error("two-decays", message, self.spans["schedule"], why, also=also, help=help_)

    def start(self) -> float | None:
        sentence = self.sentences.get(syntax.StartAt)
        return self.error(sentence.value) if sentence else None

    def stop(self) -> float | None:
        sentence = self.sentences.get(syntax.StopWhen)
        if sentence is None:
            return None
        condition = sentence.condition
        if condition.axis != "error" or condition.operator not in ("<=", "<"):
            message = "`stop` needs an upper bound on the error"
            self.report.error(
                "wrong-kind", message, condition.span, "must be `error <= ...`", help="write `stop when error <= 24%`"
            )
            raise Unsettled
        return self.error(condition.value)

    def error(self, value: syntax.Value) -> float:
        """The error that a value states, as a ratio or a plain number. Raises Unsettled."""
        found = amount(value, ("ratio",), self.names, self.report).value
        if found <= 0:
            self.report.error("out-of-range", f"`{value.span.text}` is out of range", value.span, "must be above 0")
            raise Unsettled
        return found

    def seed(self) -> int:
        sentence = self.sentences.get(syntax.Seed)
        if sentence is None:
            return 0
        whole = sentence.number.whole
        if whole is None or not 0 <= whole < 2**31:
            why = f"must be a whole number from 0 to {2**31 - 1}"
            self.report.error("out-of-range", f"`{sentence.number.text}` is not a seed", sentence.number.span, why)
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
    syntax.Schedule: "schedule",
    syntax.Minimise: "minimise",
}
_KIND = {"laws": "law source", "minimise": "cost"}

_HELD_OUT: Mapping[str, tuple[Dimension, ...]] = {"text": ("tokens",), "images": ("samples",)}
"""Kind of data -> what an evaluation is counted in."""
