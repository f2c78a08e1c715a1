"""Warns of settings of the optimizer that never take effect, or take too much: warm-ups that outlast their steps, and a
weight decay that turns weights over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shapeflow.base.diagnostics import Report
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.ir.rates import rising

SHARE = 10
"""A warm-up that is proposed is this part of the steps."""


def check_rates(program: Program, stages: Sequence[Stage], report: Report) -> None:
    """Warn with `short-of-warmup` if the learning rate does not reach the one asked for, and with `strong-decay` if a
    step at that rate takes more than all of a weight."""
    if program.trained is None:
        return
    optimizer = program.trained.optimizer
    steps = stages[-1].last_step
    at = program.spans.get("optimizer")
    if steps < optimizer.warmup and program.decay is None:
        ends = f"the learning rate ends at {rising(steps - 1, optimizer.warmup):.0%} of `lr`"
        message = f"the plan has {_steps(steps)}, its warm-up {optimizer.warmup}: {ends}"
        report.warning("short-of-warmup", message, at, help=f"write `warmup: {_less(steps)} steps` or fewer")
    else:
        _check_switches(program, stages, report)
    if (strength := optimizer.lr * optimizer.weight_decay) > 1:
        message = f"`lr` times `weight_decay` is {strength:.3g}: each step takes more than all of a weight"
        report.warning("strong-decay", message, at, help=f"write `weight_decay: {0.1 / optimizer.lr:.2g}` or less")


def _check_switches(program: Program, stages: Sequence[Stage], report: Report) -> None:
    """Warn of warm-ups after switches that outlast their stage."""
    for before, stage in pairwise(stages):
        rise = 0 if stage.transition is None else stage.transition.rewarm
        own = stage.steps or 0
        if rise <= own:
            continue
        ends = f"the learning rate ends at {rising(own - 1, rise):.0%} of the one asked for"
        shape = stage.shape.written(program.units)
        message = f"the stage in {shape} has {_steps(own)}, the warm-up after its switch {rise}: {ends}"
        moved = program.moved(before.shape, stage.shape)
        at = next((axis.via for axis in moved if axis.transition.rewarm == rise), moved[0].via)
        report.warning("short-of-warmup", message, at, help=f"write `rewarm: {_less(own)} steps` or fewer")


def _steps(number: int) -> str:
    return "1 step" if number == 1 else f"{number} steps"


def _less(steps: int) -> int:
    return max(1, steps // SHARE)
