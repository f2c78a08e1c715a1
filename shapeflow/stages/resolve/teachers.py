"""Teachers: read the files of weights that an objective names and compare them with the data. Also reads the weights
that a run starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Diagnostic, Label, Refused, Report, Span
from shapeflow.base.settings import unfit
from shapeflow.base.shapes import Shape
from shapeflow.foreign.weights_at import start_at, weights_at
from shapeflow.ir.edits import EditError, View
from shapeflow.ir.parameters import DataFacts, Model, Teacher, input_of
from shapeflow.ir.program import Trained
from shapeflow.ir.weights import Weights, broken, of_start

NAMES = {"image": "images of {} px", "channels": "{} channels", "classes": "{} classes", "vocabulary": "{} tokens"}
"""Field of `DataFacts` that must be equal for teacher and data -> its words in a message."""


@attrs.frozen
class Teachers:
    """Finds the teachers of objectives. `spans`: the locations of sentences and settings, as in `Program`."""

    folder: str
    """The folder that relative paths start from."""
    spans: Mapping[str, Span]
    report: Report

    def taught(self, trained: Trained, candidates: Sequence[Shape], words: Mapping[str, str]) -> dict[str, Any]:
        """The objectives with the properties of their teachers. Errors in a file are reported. `words`: name of an
        objective -> prefix of its settings in `spans`."""
        found: dict[str, Any] = {}
        for name, objective in trained.objectives.items():
            teachers: dict[str, Teacher] = {}
            for place, file in objective.teachers.items():
                if file in teachers:
                    continue
                try:
                    teachers[file] = self.teacher(Path(self.folder, file), trained, candidates)
                except Refused as refused:
                    self.refuse(refused.diagnostics[0], words[name], place)
                    continue
                asked = [trained.whole(shape) for shape in candidates if trained.objective(shape) is objective]
                self.stretched(file, teachers[file], asked, self.spans[f"{words[name]}.{place}"])
            whole = bool(teachers) and not self.report.failed
            found[name] = objective.taught(teachers) if whole else objective
        return found

    def refuse(self, wrong: Diagnostic, word: str, place: str) -> None:
        """Report an error in a file at the setting that names it."""
        also = [Label(self.spans["data."], "this data")] if wrong.code == "teacher-mismatch" else []
        at = self.spans[f"{word}.{place}"]
        self.report.error(wrong.code, wrong.message, at, "this teacher", also=also, notes=wrong.notes, help=wrong.help)

    def stretched(self, file: str, teacher: Teacher, asked: Sequence[Shape], at: Span) -> None:
        """Warn if some shape trains at a longer context than the teacher was trained at."""
        longest = max((shape.number("context") for shape in asked if "context" in shape), default=0)
        if teacher.context is None or longest <= teacher.context:
            return
        self.report.warning(
            "teacher-stretched",
            f"the teacher `{file}` was trained at a context of {teacher.context} tokens, and is used at {longest}",
            at,
            "not trained at longer positions",
            help=f"use contexts up to {teacher.context} tokens, or a teacher that was trained at {longest}",
        )

    def teacher(self, path: Path, trained: Trained, candidates: Sequence[Shape]) -> Teacher:
        """The properties of the teacher in a file. Raises Refused `teacher-missing`, `teacher-broken` or
        `teacher-mismatch`."""
        weights, shapes = weights_at(path), [trained.whole(shape) for shape in candidates]
        facts = weights.facts()
        data = _without(trained.facts, trained.reserved)
        # The data can also be read at any resolution of the axis.
        sides = {shape["resolution"] for shape in shapes if "resolution" in shape}
        if facts.image in sides:
            data = attrs.evolve(data, image=facts.image)
        _match(path, _without(facts, weights.reserved), data)
        model, shape = _declared(path, weights)
        convention = trained.model_component.convention
        forward = {}
        for whole in shapes:
            own = shape.with_({"context": whole["context"]}) if "context" in whole else shape
            # Training counts as 3 forward passes. The compute of a step is left out: a frozen kernel is resized once.
            forward[input_of(whole)] = model.compute(own, convention).sample / 3
        context = shape.number("context") if "context" in shape else None
        return Teacher(weights.sha256, dict(sorted(forward.items())), context)


def _without(facts: DataFacts, reserved: int) -> DataFacts:
    """The facts without the ids that an objective reserves."""
    return facts if facts.vocabulary is None else attrs.evolve(facts, vocabulary=facts.vocabulary - reserved)


def _match(path: Path, teacher: DataFacts, data: DataFacts) -> None:
    wrong = list(_differences(teacher, data))
    if wrong:
        help_ = "export a teacher that was trained on data like this"
        message = f"the teacher `{path}` {wrong[0]}"
        raise Refused(Diagnostic("teacher-mismatch", message, place=str(path), notes=tuple(wrong[1:]), help=help_))


def _differences(teacher: DataFacts, data: DataFacts) -> Iterator[str]:
    if teacher.kind != data.kind:
        yield f"reads {teacher.kind}, and the data is {data.kind}"
        return
    for name, template in NAMES.items():
        theirs, ours = getattr(teacher, name), getattr(data, name)
        if theirs != ours:
            yield f"has {template.format(theirs or 'unknown')}, and the data {template.format(ours)}"


def first_weights(path: Path) -> Weights:
    """The weights that a run starts from. Raises Refused `start-missing`, `start-broken`, `cannot-import`."""
    weights = start_at(path)
    try:
        _declared(path, weights)
    except Refused as refused:
        raise of_start(refused) from None
    return weights


def _declared(path: Path, weights: Weights) -> tuple[Model, Shape]:
    """The model and the complete shape of a teacher, declared by its architecture. Raises Refused `teacher-broken` if
    the file differs from the declaration."""
    known = registry.components("model")
    if weights.model not in known:
        broken(path, f"no model is called `{weights.model}`")
    stored = {edit.dim: weights.sizes[edit.dim] for edit in weights.reading if isinstance(edit, View)}
    try:
        architecture = known[weights.model](**weights.settings)
        wrong = list(unfit(architecture))
        if wrong:
            broken(path, *wrong)
        own = {axis: value for axis, value in weights.shape.items() if axis in architecture.axes - {"batch"}}
        shape = architecture.shape(own)
        model: Model = architecture.declare(weights.facts(), stored)
        sizes = model.sizes(shape)
    except (EditError, TypeError, ValueError, ArithmeticError) as error:
        broken(path, f"its model cannot be made: {error}")
    if (model.parameters, sizes) != (weights.parameters, weights.sizes):
        broken(path, f"its sizes are not those of the `{weights.model}` that it names")
    broken_slots = list(_slots(model, weights))
    if broken_slots:
        broken(path, *broken_slots)
    return model, shape


def _slots(model: Model, weights: Weights) -> Iterator[str]:
    """Yield the slots of a file that do not fit its model. A switch may change the value of any slot except
    `head_width`. The slot `batch` is not checked, because it belongs to the run and not to the model."""
    for name, own in model.slots.items():
        theirs = weights.slots.get(name)
        number = type(theirs) is int or (type(theirs) is float and math.isfinite(theirs))
        fits = number if isinstance(own, int | float) else type(theirs) is type(own)
        if isinstance(own, int | float) and isinstance(theirs, int | float):
            fits = (
                fits
                and theirs >= 0
                and (theirs > 0 or name == "attend.separator")
                and (name != "head_width" or theirs == own)
            )
        if name != "batch" and not fits:
            yield f"its slot `{name}` is {theirs!r}, that of its model {own!r}"
