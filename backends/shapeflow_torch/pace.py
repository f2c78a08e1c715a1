"""Times the steps and evaluations of plans on this machine, without training them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit
from shapeflow.ir.plan import Plan, Stage
from shapeflow_torch.compilation import wants_compile
from shapeflow_torch.data import open_data
from shapeflow_torch.devices import place
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team
from shapeflow_torch.train import be_deterministic, choose_threads

WARM, TIMED = 3, 12
"""Number of steps in each shape before the timed ones, and of timed steps."""


def pace(
    plan: Plan, root: Path, device: str = "auto", threads: int | None = None, known: frozenset[Shape] = frozenset()
) -> Mapping[Shape, tuple[float, float]]:
    """Return shape -> (seconds of a step, seconds of an evaluation), for every shape of a plan that is not in `known`.

    A step's time is the median of `TIMED` real steps. The plan's switches are made on the way; nothing is written.
    `threads`: CPU threads; None: as `run` chooses them. Raises what `run.run` raises when it opens data and builds a
    model."""
    where = place(device).device(0)
    compiled = wants_compile("auto", where)
    if where.type == "cpu":
        be_deterministic(compiled)
        if threads is None:
            choose_threads(plan)
        else:
            torch.set_num_threads(threads)
    data = open_data(plan, root, where)
    machine = TorchMachine(plan, data, Team(device=where), compiled=compiled, root=root)
    machine.take(plan.stages[0])
    found: dict[Shape, tuple[float, float]] = {}
    for stage in plan.stages:
        if stage.transition is not None:
            machine.apply(stage.transition, stage)
        shapes = [(stage.shape, stage.reading), *((blend.shape, blend.edits) for blend in stage.blends)]
        for shape, edits in shapes:
            if shape not in known and shape not in found:
                found[shape] = _timed(machine, stage, edits, passes=2 if compiled else 1)
    return found


def _timed(machine: TorchMachine, stage: Stage, edits: Sequence[Edit], passes: int) -> tuple[float, float]:
    """Seconds of a step and of an evaluation in one reading. `passes`: number of evaluations; the last one counts, as
    the first compiles the model."""
    machine.look(edits)
    length = stage.last_step - stage.first_step
    steps = []
    for number in range(WARM + TIMED):
        begun = time.perf_counter()
        machine.step(stage, stage.first_step + number % length, 0.0)
        steps.append(time.perf_counter() - begun)
    for _ in range(passes):
        begun = time.perf_counter()
        machine.measure(stage)
        evaluation = time.perf_counter() - begun
    return statistics.median(steps[WARM:]), evaluation
