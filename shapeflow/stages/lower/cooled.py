"""What the cooldown of a plan does to its final error: known for averaged weights, or where runs measured it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Drop, Law
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw

AVERAGED = 0.005
"""The averaged weights of a run already have what a cooldown gains, within this (nats)."""
SCATTER, FORM = 0.15, 0.004
"""Error of a predicted drop: a share of it, and an amount in nats."""
LONGEST, FARTHEST = 0.2, 5.0
"""The drop is predicted for cooldowns of at most this share of a run, and runs at most this factor from those that
measured it."""


def cooled(program: Program, laws: Mapping[Shape, AnyLaw], stages: Sequence[Stage]) -> str:
    """The note on a plan with a cooldown: what it does to the final error, or that this is not known."""
    shape, law = stages[-1].shape, laws.get(stages[-1].shape)
    if program.metric.unit != "nats" or not isinstance(law, Law):
        return "what the cooldown does to the final error is not known: no run with laws of its kind measured it"
    if law.provenance.averaged:
        return (
            f"the cooldown changes the final error by less than {AVERAGED:g} nats: errors are measured on averaged "
            "weights, which already have what it gains"
        )
    found = _drop(program, laws, shape, stages[-1].leave.compute or 0.0)
    if isinstance(found, str):
        return f"what the cooldown does to the final error is not known: {found}"
    end = stages[-1].leave.error
    off = math.hypot(SCATTER * found, FORM)
    cooled_end = "" if end is None else f": it ends at {end - found:.4g}"
    return (
        f"the cooldown lowers the final error by {found:.3g}, give or take {off:.2g} and the error of the law"
        f"{cooled_end}"
    )


def _drop(program: Program, laws: Mapping[Shape, AnyLaw], shape: Shape, compute: float) -> float | str:
    """The predicted drop at the end of a plan, or why it is not known."""
    amount = program.cooldown
    if amount is None or amount.dimension != "ratio" or amount.value > LONGEST:
        return f"drops are predicted for cooldowns that are a share of the plan, at most {LONGEST:.0%}"
    drops = {one: law.provenance.drop for one, law in laws.items() if law.provenance.drop is not None}
    known = {one: drop for one, drop in drops.items() if drop is not None and drop.share <= 1.5 * LONGEST}
    if not known:
        return "no run of its laws ends in a cooldown of this kind"
    sizes = {one: _size(program, one) for one in (*known, shape)}
    predicted: list[float] = []
    for one, drop in known.items():
        if one != shape and (shape in known or sizes[one] is None or sizes[shape] is None):
            continue
        longer = compute / drop.compute / ((_cost(program, shape) / _cost(program, one)) if one != shape else 1.0)
        if not 1 / FARTHEST <= longer <= FARTHEST:
            continue
        larger = (sizes[shape] or 1.0) / (sizes[one] or 1.0) if one != shape else 1.0
        predicted.append(drop.value * longer**Drop.BY_LENGTH * larger**Drop.BY_SIZE)
    if not predicted:
        return f"the runs that measured it are over {FARTHEST:g} times longer or shorter, or of shapes of unknown size"
    return sum(predicted) / len(predicted)


def _size(program: Program, shape: Shape) -> float | None:
    return None if program.trained is None else float(program.trained.count(shape))


def _cost(program: Program, shape: Shape) -> float:
    return 1.0 if program.trained is None else program.trained.cost(shape)
