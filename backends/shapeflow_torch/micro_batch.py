"""Chooses the largest micro-batch that fits (`--micro-batch auto`)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.base.units import size
from shapeflow.ir.edits import Edit
from shapeflow.ir.memory import Need, largest_micro_batch
from shapeflow.ir.plan import Plan, Stage
from shapeflow_torch.available import available
from shapeflow_torch.losses import Saving
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.out_of_memory import choices_of, is_out_of_memory
from shapeflow_torch.team import Team

USED = 0.9
"""Share of the free memory that an estimate may fill: estimates are within 15%, and allocators leave gaps."""


def chosen(plan: Plan, needs: Mapping[Shape, Need], team: Team, recompute: bool) -> dict[Shape, int]:
    """Return the largest micro-batch of each shape of a plan, by the estimate and the memory that is free now. At least
    1 on a GPU, where it is tried. All processes return the same. Raises Refused `memory-unknown` and, on a CPU,
    `does-not-fit`: the system would kill the run in the middle."""
    free = available(team.device)
    if not needs or free is None:
        raise Refused(_unknown(plan, bool(needs)))
    # The processes of a run on CPUs share the memory of their machine.
    free = USED * free / (team.world if team.device.type == "cpu" else 1)
    found = {shape: largest_micro_batch(need, choices_of(team, None, recompute), free) for shape, need in needs.items()}
    agreed = {shape: team.least(count or 0) for shape, count in found.items()}
    if team.device.type == "cpu" and (shape := next((one for one, count in agreed.items() if not count), None)):
        raise Refused(
            _too_large(plan, shape, needs[shape].memory(choices_of(team, 1, recompute)).peak, free, recompute)
        )
    return {shape: count or 1 for shape, count in agreed.items()}


def tried(machine: TorchMachine, limits: Mapping[Shape, int], recompute: bool, team: Team) -> dict[Shape, int]:
    """Return micro-batches that were tried: halved until a step and its update fit in memory.

    `machine`: a machine that is thrown away afterwards, alone in its team: a process that fails does not leave others
    waiting. Each shape is tried with new weights, in the sizes of its stage."""
    found: dict[Shape, int] = {}
    for index, stage in enumerate(machine.plan.stages):
        for shape, edits in ((stage.shape, stage.reading), *((blend.shape, blend.edits) for blend in stage.blends)):
            if shape not in found:
                found[shape] = _largest(machine, index, stage, edits, limits[shape], recompute)
    return {shape: team.least(count) for shape, count in found.items()}


def _largest(
    machine: TorchMachine, index: int, stage: Stage, edits: tuple[Edit, ...], count: int, recompute: bool
) -> int:
    while True:
        try:
            machine.pretend(index, Saving(count, recompute))
            machine.look(edits)
            machine.step(stage, stage.first_step, 0.0)
        except Exception as error:
            if count == 1 or not is_out_of_memory(error):
                raise
        else:
            return count
        # Only here is the error gone, which held the activations.
        count //= 2
        if machine.team.device.type == "cuda":
            torch.cuda.empty_cache()


def _too_large(plan: Plan, shape: Shape, peak: float, free: float, recompute: bool) -> Diagnostic:
    message = f"steps in {shape.written(plan.units)} do not fit in the free memory, even one sample at a time"
    note = f"estimated: {size(peak)}; {USED:.0%} of the memory that is free for this process: {size(free)}"
    less = "train on a machine with more memory" if recompute else "add `--checkpoint-activations`, or more memory"
    help_ = f"{less}; `--micro-batch 1` tries it nevertheless"
    return Diagnostic("does-not-fit", message, place="--micro-batch", notes=(note,), help=help_)


def _unknown(plan: Plan, known: bool) -> Diagnostic:
    kind = "nothing" if plan.model is None else f"`{plan.model.name}`"
    why = "the free memory of this machine is not known" if known else f"{kind} does not declare what a step keeps"
    message = f"`--micro-batch auto` cannot estimate the memory: {why}"
    help_ = "write a number of samples: `--micro-batch 8`"
    return Diagnostic("memory-unknown", message, place="--micro-batch", help=help_)
