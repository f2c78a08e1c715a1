"""Resolve what is trained: model, data, objectives and optimizer, with every candidate checked against model and
data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Label, Report, Span
from shapeflow.base.settings import limits, name_of, settings_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import BASE
from shapeflow.ir.components import Data
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import ANY, DataFacts
from shapeflow.ir.program import AxisUse, Trained
from shapeflow.stages.resolve.axes import Space
from shapeflow.stages.resolve.teachers import Teachers
from shapeflow.stages.resolve.values import Unsettled

DATA_SETTINGS = {"indivisible-patch": "image", "tokens-per-step-not-integral": "batch"}
"""Code of an error in a value of an axis -> the setting of the data that a label points to."""
OBJECTIVE = "objective"
"""The kind of component that the values of the axis `loss` name. Such an axis does not need support by the model."""


@attrs.frozen
class Training:
    """Builds what the file trains. `spans`: the locations of sentences and settings, as in `Program`."""

    parts: Mapping[str, Any]
    """Reserved word -> the component of its sentence."""
    spans: Mapping[str, Span]
    folder: str
    """The folder that relative paths in the file start from."""
    report: Report

    def trained(self, axes: Sequence[AxisUse], space: Space) -> Trained:
        """What a file with a `model` trains. Raises Unsettled."""
        loss = next((axis for axis in axes if axis.kind.names == OBJECTIVE), None)
        self.complete(loss)
        model, data = self.found("model"), self.found("data")
        facts, objectives = self.facts(data), self.objectives(loss)
        for place, objective in objectives.items():
            if objective.data not in (facts.kind, ANY):
                self.mismatch(f"{loss.name}.{place}" if loss else "objective", objective.data, facts.kind)
        for axis in axes:
            self.axis_of_model(axis, model)
        self.settled()
        optimizer = self.parts["optimizer"] or registry.components("optimizer")["adamw"]()
        if facts.vocabulary is not None:
            reserved = max(one.reserved for one in objectives.values())
            facts = attrs.evolve(facts, vocabulary=facts.vocabulary + reserved)
        trained = Trained(model, data, objectives, optimizer, facts, self.declared(model, facts, axes))
        self.check_values(trained, axes)
        self.check_shapes(lambda shape: sized(trained, shape), space)
        self.settled()
        words = {name: f"{loss.name}.{name}" if loss else "objective" for name in objectives}
        teachers = Teachers(self.folder, self.spans, self.report)
        taught = attrs.evolve(trained, objectives=teachers.taught(trained, space.candidates, words))
        self.settled()
        self.check_shapes(taught.cost, space)
        return taught

    def found(self, word: Literal["model", "data"]) -> Any:
        """The component of a sentence, with the settings that it reads from its files. Raises Unsettled."""
        part = self.parts[word]
        first = next((name for name, field in settings_of(type(part)).items() if limits(field).first), "")
        try:
            return part.found_in(Path(self.folder))
        except EditError as error:
            self.edit_error(error, self.spans.get(f"{word}.{first}", self.spans[f"{word}."]))
            raise Unsettled from error

    def facts(self, data: Data) -> DataFacts:
        folder = Path(self.folder)
        return attrs.evolve(data.facts(), longest=data.longest(folder), corpora=data.corpora(folder))

    def settled(self) -> None:
        if self.report.failed:
            raise Unsettled

    def objectives(self, loss: AxisUse | None) -> dict[str, Any]:
        """Name -> objective: one, or one for each value of the axis `loss`."""
        if loss is not None:
            return {str(name): one for name, one in loss.components.items()}
        return {name_of(self.parts["objective"]): self.parts["objective"]}

    def complete(self, loss: AxisUse | None) -> None:
        """Check that the file has data, and either an objective or an axis `loss`. Raises Unsettled."""
        if loss is not None and "objective" in self.spans:
            self.report.error(
                "two-objectives",
                "the file has an `objective` and an axis `loss`",
                self.spans["objective"],
                "one for the whole run",
                also=[Label(loss.span, "one for each stage")],
                help="keep one of the two",
            )
        for word in ("data",) if loss is not None else ("data", "objective"):
            if word not in self.spans:
                article = "an" if word[0] in "aeiou" else "a"
                known = registry.components(word)
                facts = self.parts["data"].facts() if self.parts["data"] is not None else None
                fitting = [name for name, cls in known.items() if facts is None or cls.data == facts.kind]
                self.report.error(
                    "missing-sentence",
                    f"the file has a `model` but no `{word}`",
                    self.spans["model"],
                    f"needs {article} `{word}` sentence",
                    notes=["an axis `loss` can set one for each stage"] if word == "objective" else (),
                    help=f"add one, such as `{word} {fitting[0]}`" if fitting else None,
                )
        self.settled()

    def axis_of_model(self, axis: AxisUse, model: Any) -> None:
        if axis.name not in model.axes and axis.kind.names != OBJECTIVE:
            message = f"`{self.spans['model.'].text}` cannot vary along {axis.name}"
            known = f"axes of this model: {', '.join(sorted(model.axes))}"
            self.report.error("not-of-model", message, axis.span, known)
        elif f"model.{axis.name}" in self.spans:
            self.report.error(
                "setting-and-axis",
                f"`{axis.name}` is both a setting of `{self.spans['model.'].text}` and an axis",
                self.spans[f"model.{axis.name}"],
                "set for the whole run",
                also=[Label(axis.span, "varies here")],
                help="leave the setting out: the axis gives every stage its value",
            )

    def declared(self, model: Any, facts: Any, axes: Sequence[AxisUse]) -> Any:
        try:
            return model.declare(facts, self.stored(facts, axes))
        except EditError as error:
            also = [Label(self.spans["data."], f"gives {facts.kind}")] if error.code == "wrong-data" else []
            self.edit_error(error, self.spans["model."], also)
            raise Unsettled from error

    def stored(self, facts: Any, axes: Sequence[AxisUse]) -> dict[str, int]:
        """Dim -> stored size that transitions fix for all shapes. Raises Unsettled if two transitions disagree."""
        stored: dict[str, int] = {}
        keepers: dict[str, AxisUse] = {}
        for axis in axes:
            for dim, size in axis.transition.stored(facts).items():
                keeper = keepers.setdefault(dim, axis)
                if stored.setdefault(dim, size) != size:
                    self.report.error(
                        "stored-mismatch",
                        f"two transitions store `{dim}` at different sizes, {stored[dim]} and {size}",
                        axis.via,
                        f"{size} here",
                        also=[Label(keeper.via, f"{stored[dim]} here")],
                        help=f"set the same `{dim}` in both",
                    )
                    raise Unsettled
        return stored

    def check_values(self, trained: Trained, axes: Sequence[AxisUse]) -> None:
        """Check every value of every axis against the data, then against the model."""
        facts = shown(trained, {axis.name for axis in axes})
        for axis in axes:
            kind = axis.kind()
            self.check_unit(axis, kind, facts)
            for value in axis.values:
                try:
                    kind.check(value, facts)
                    kind.check(value, facts, trained.model)
                except EditError as error:
                    self.edit_error(error, axis.value_spans[value], self.blamed(axis, kind, facts, value))
        self.settled()

    def check_unit(self, axis: AxisUse, kind: Any, facts: DataFacts) -> None:
        """Check the unit of an axis whose unit depends on the data."""
        fitting = kind.counts.get(facts.kind)
        if fitting is None or axis.dimension in fitting:
            return
        units = " or ".join(BASE[dimension] or "plain numbers" for dimension in fitting)
        unit = BASE[fitting[0]]
        self.report.error(
            "wrong-unit",
            f"the {axis.name} of {facts.kind} is counted in {units}",
            next(iter(axis.value_spans.values())),
            f"counted in {BASE[axis.dimension] or 'plain numbers'} here",
            also=[Label(self.spans["data."], f"gives {facts.kind}")],
            help=f"write `{unit}` after the values" if unit else "write the values without a unit",
        )

    def blamed(self, axis: AxisUse, kind: Any, facts: DataFacts, value: Any) -> list[Label]:
        """The label of what excludes a value: the data if the value does not fit it, otherwise the model."""
        try:
            kind.check(value, facts)
        except EditError as error:
            setting = DATA_SETTINGS.get(error.code)
            if f"data.{setting}" in self.spans:
                return [Label(self.spans[f"data.{setting}"], f"the {setting} is set here")]
            return [Label(self.spans["data."], "this data")]
        return [Label(self.spans["model."], "this model")]

    def check_shapes(self, ask: Callable[[Shape], object], space: Space) -> None:
        """Call `ask` for every candidate and report its EditErrors. An error that many candidates share is reported
        once, at its cause."""
        found: dict[tuple[str, str], list[tuple[Shape, EditError]]] = {}
        for shape in space.candidates:
            try:
                ask(shape)
            except EditError as error:
                found.setdefault((error.code, error.message), []).append((shape, error))
        for wrong in found.values():
            shapes = [shape for shape, _ in wrong]
            at = self.spans["model."] if len(shapes) == len(space.candidates) else cause(shapes, space)
            self.edit_error(wrong[0][1], at)

    def edit_error(self, error: EditError, at: Span, also: Sequence[Label] = ()) -> None:
        self.report.error(error.code, error.message, at, error.why, also=also, notes=error.notes, help=error.help)

    def mismatch(self, word: str, wants: str, has: str) -> None:
        self.report.error(
            "wrong-data",
            f"`{self.spans[word + '.'].text}` is for {wants}, and the data is {has}",
            self.spans[f"{word}."],
            f"for {wants}",
            also=[Label(self.spans["data."], f"gives {has}")],
        )


def sized(trained: Trained, shape: Shape) -> None:
    """Check that the model supports a candidate, and that a step has a whole number of samples. Raises EditError."""
    whole = trained.whole(shape)
    trained.model.sizes(whole)
    trained.model.samples(whole)


def shown(trained: Trained, moving: AbstractSet[str]) -> DataFacts:
    """The properties of the data for the check of one axis. Settings of the model replace properties of the same
    meaning, such as the side of the images. A property that another axis varies is 0. `moving`: names of the axes that
    vary."""
    known = {kind.fact: name for name, kind in registry.components("axis").items() if kind.fact}
    values = {fact: 0 if name in moving else trained.model.slots.get(name) for fact, name in known.items()}
    set_: dict[str, Any] = {fact: value for fact, value in values.items() if isinstance(value, int)}
    return attrs.evolve(trained.facts, **set_)


def cause(shapes: Sequence[Shape], space: Space) -> Span:
    """The span of a value that all these shapes and no other candidates have. If there is none, the span of the first
    shape's value on the last axis."""
    for axis in space.axes:
        values = {shape[axis.name] for shape in shapes}
        having = [shape for shape in space.candidates if shape[axis.name] in values]
        if len(values) == 1 and len(having) == len(shapes):
            return axis.value_spans[values.pop()]
    last = space.axes[-1]
    return last.value_spans[shapes[0][last.name]]
