"""The number of steps of a plan's cooldown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.base.units import Amount
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.stages.lower.lengths import HAIR, last_steps, whole_of

MOST = 0.5
"""Maximum share of a plan's compute. Laws and switches assume a constant learning rate for most of the run, and a
cooldown of 10 to 20% is enough (Hägele et al., arXiv 2405.18392)."""


def cooldown(program: Program, stages: Sequence[Stage], report: Report) -> int | None:
    """Steps of the cooldown; None without one. Reports `out-of-range`, and warns with `long-cooldown`."""
    if program.cooldown is None or program.trained is None:
        return None
    total = stages[-1].leave.compute or 0.0
    amount = program.trained.counted(program.cooldown)
    steps, at = last_steps(program, stages, amount), program.spans["cooldown"]
    share = amount.value if amount.dimension == "ratio" else _compute(program.seed, stages, steps) / total
    whole = Amount(whole_of(stages, amount.dimension), amount.dimension)
    if steps < 1:
        help_ = "make it longer, or leave the sentence out"
        report.error("out-of-range", "the cooldown has no steps", at, "shorter than the plan's last step", help=help_)
    elif amount.value > whole.value * (1 + HAIR):
        message, why = "the cooldown is longer than the plan", f"the plan has {whole.said}"
        report.error("out-of-range", message, at, why, help="write `cooldown 15%`")
    elif share > MOST:
        message = f"the cooldown takes {100 * share:.3g}% of the plan's compute"
        report.error("out-of-range", message, at, f"must be at most {MOST:.0%}", help="write `cooldown 15%`")
    elif len(stages) > 1:
        _reach(program, stages, steps, report)
    return steps


def _compute(seed: int, stages: Sequence[Stage], steps: int) -> float:
    """FLOPs of the last `steps` steps."""
    spent, left = 0.0, steps
    for index in reversed(range(len(stages))):
        stage = stages[index]
        own = stage.steps or 0
        taken = min(own, left)
        spent += stage.compute_of(seed, index, own) - stage.compute_of(seed, index, own - taken)
        left -= taken
    return spent


def _reach(program: Program, stages: Sequence[Stage], steps: int, report: Report) -> None:
    """Warn if the cooldown begins before the last switch, or before the learning-rate warm-up after it, is over."""
    last = stages[-1]
    rise = last.transition.rewarm if last.transition is not None else 0
    room = (last.steps or 0) - rise
    if steps <= room:
        return
    message = "the cooldown begins before the learning-rate warm-up after the last switch is over"
    why = f"{_last(steps)} of the run; the last stage has {last.steps} steps, {rise} of them warm-up"
    if steps > (last.steps or 0):
        message, why = (
            "the cooldown begins before the last switch",
            f"the cooldown has {steps} steps, the last stage {last.steps}",
        )
    help_ = _shorter(program.seed, stages, room)
    report.warning("long-cooldown", message, program.spans["cooldown"], why, help=help_)


def _last(steps: int) -> str:
    return "the last step" if steps == 1 else f"the last {steps} steps"


def _shorter(seed: int, stages: Sequence[Stage], room: int) -> str:
    """The longest cooldown of at most `room` steps, as a sentence."""
    if room < 1:
        return "leave more steps after the last switch"
    share = math.floor(1000 * _compute(seed, stages, room) / (stages[-1].leave.compute or 1.0)) / 10
    return f"write `cooldown {share:g}%`" if share else f"write `cooldown {room} steps`"
