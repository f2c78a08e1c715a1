"""Batch sizes of each step, and how processes share a step. All functions depend on the plan only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit, Swap
from shapeflow.ir.plan import Plan, Stage

Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def batch_of(stage: Stage, edits: Sequence[Edit]) -> int:
    """Return the number of images or tokens in one step under `edits`, which are the stage's own or a blend's."""
    batch = _slot(edits, "batch")
    known = stage.batch if batch is None else batch
    if known is None:
        raise ValueError("the plan has no model, so it has no batch")
    return known


def shape_of(stage: Stage, edits: Sequence[Edit]) -> Shape:
    """Return the shape of a step under `edits`, which are the stage's own or a blend's."""
    return next((blend.shape for blend in stage.blends if blend.edits == edits), stage.shape)


def samples_of(batch: int, context: int | None) -> int:
    """Return the number of samples in a step: `batch` images, or `batch // context` windows of text."""
    return batch if context is None else batch // context


class Cursor:
    """Counts the images, or tokens, of all steps before a given step, across changes of the batch size. For images the
    count gives the run's position within its epochs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._mixed: dict[int, Counts] = {}
        self._starts = [0]
        """Images, or tokens, before each stage, for as many stages as were asked for."""

    def before(self, step: int) -> int:
        """Return the number of images (or tokens) in the first `step` steps of the run."""
        index = self._plan.stage_at(step + 1)
        while len(self._starts) <= index:
            last = len(self._starts) - 1
            self._starts.append(self._starts[last] + self._within(last, self._plan.stages[last].steps or 0))
        return self._starts[index] + self._within(index, step - self._plan.stages[index].first_step)

    def _within(self, index: int, steps: int) -> int:
        stage = self._plan.stages[index]
        batch = batch_of(stage, ())
        if all(batch_of(stage, blend.edits) == batch for blend in stage.blends):
            return steps * batch
        if index not in self._mixed:
            blends = (stage.blend_at(self._plan.seed, index, step) for step in range(stage.steps or 0))
            counts = [batch_of(stage, () if blend is None else blend.edits) for blend in blends]
            self._mixed[index] = np.cumsum([0, *counts], dtype=np.int64)
        return int(self._mixed[index][steps])


def check_shares(plan: Plan, parts: int, called: str = "processes", place: str = "--processes", fixed: int = 1) -> None:
    """Check that the samples of every step divide evenly among a number of parts. Raises Refused `batch-not-divisible`.

    `called`, `place`: what the parts are, and where their number is given; `fixed`: a factor of `parts` that cannot be
    changed there."""
    common = 0
    worst: tuple[int, str] | None = None
    for stage in plan.stages:
        for shape, edits in ((stage.shape, stage.reading), *((b.shape, b.edits) for b in stage.blends)):
            samples = samples_of(batch_of(stage, edits), context_of(plan, edits))
            common = int(np.gcd(common, samples))
            if samples % parts and worst is None:
                worst = samples, str(shape)
    if worst is None:
        return
    legal = [count for count in range(1, common + 1) if common % (count * fixed) == 0]
    message = f"a step at {worst[1]} has {worst[0]} samples, which {parts} {called} cannot share evenly"
    help_ = f"use one of these counts: {', '.join(map(str, legal))}" if legal else "use fewer processes"
    raise Refused(Diagnostic("batch-not-divisible", message, place=place, help=help_))


def context_of(plan: Plan, edits: Sequence[Edit]) -> int | None:
    context = _slot(edits, "context")
    fixed = plan.slots.get("context")
    return context if context is not None else fixed if isinstance(fixed, int) else None


def _slot(edits: Sequence[Edit], name: str) -> int | None:
    for edit in edits:
        if isinstance(edit, Swap) and edit.slot == name and isinstance(edit.to, int):
            return edit.to
    return None
