"""How much each step takes, and how processes share it: pure functions of the plan."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from shapeflow.diagnostics import Diagnostic, Refused
from shapeflow.edits import Edit, Swap
from shapeflow.plan import Plan, Stage
from shapeflow_torch.data import Data


def batch_of(stage: Stage, edits: Sequence[Edit]) -> int:
    """Images or tokens of one step read through `edits`, the stage's own or a blend's."""
    batch = _slot(edits, "batch")
    known = stage.batch if batch is None else batch
    if known is None:
        raise ValueError("the plan has no model, so it has no batch")
    return known


def samples_before(plan: Plan, step: int) -> int:
    """Images of all steps before the run's `step`-th, whatever the batches were."""
    index = plan.stage_at(step + 1)
    stage = plan.stages[index]
    whole = sum(_within(plan, before, plan.stages[before].steps or 0) for before in range(index))
    return whole + _within(plan, index, step - stage.first_step)


def _within(plan: Plan, index: int, steps: int) -> int:
    stage = plan.stages[index]
    batch = batch_of(stage, ())
    if all(batch_of(stage, blend.edits) == batch for blend in stage.blends):
        return steps * batch
    return int(_running(plan, index)[steps])


@functools.lru_cache(maxsize=8)
def _counted(seed: int, index: int, stage: Stage) -> tuple[int, ...]:
    blends = (stage.blend_at(seed, index, step) for step in range(stage.steps or 0))
    return tuple(batch_of(stage, () if blend is None else blend.edits) for blend in blends)


def _running(plan: Plan, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.concatenate([[0], np.cumsum(_counted(plan.seed, index, plan.stages[index]))])


def check_shares(plan: Plan, data: Data, processes: int) -> None:
    """Whether every step of the plan divides among the processes. Raises Refused `batch-not-divisible`."""
    common = 0
    worst: tuple[int, str] | None = None
    for stage in plan.stages:
        for shape, edits in ((stage.shape, stage.reading), *((b.shape, b.edits) for b in stage.blends)):
            samples = data.samples(batch_of(stage, edits), _context(plan, edits))
            common = int(np.gcd(common, samples))
            if samples % processes and worst is None:
                worst = samples, str(shape)
    if worst is None:
        return
    legal = [count for count in range(1, common + 1) if common % count == 0]
    message = f"a step at {worst[1]} has {worst[0]} samples, which {processes} processes cannot share evenly"
    counts = ", ".join(map(str, legal))
    raise Refused(
        Diagnostic("batch-not-divisible", message, place="--processes", help=f"use one of these counts: {counts}")
    )


def _context(plan: Plan, edits: Sequence[Edit]) -> int | None:
    context = _slot(edits, "context")
    fixed = plan.slots.get("context")
    return context if context is not None else fixed if isinstance(fixed, int) else None


def _slot(edits: Sequence[Edit], name: str) -> int | None:
    for edit in edits:
        if isinstance(edit, Swap) and edit.slot == name and isinstance(edit.to, int):
            return edit.to
    return None
