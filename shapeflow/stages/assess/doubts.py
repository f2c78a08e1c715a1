"""Why the laws of a plan cannot answer whether it pays, however narrow their intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Doubt
from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw

MIXED = 0.2
"""Largest share of a plan's steps that may be blended in. Laws do not describe blended steps."""
RISE, NOISES = 0.003, 5.0
"""A curve rises if its log error is above an earlier one by more than this, and by this many times its noise."""
DIFFER = 0.15
"""Largest run-to-run standard deviation of log compute."""


def doubts(program: Program, laws: Mapping[Shape, AnyLaw], plan: Plan) -> tuple[Doubt, ...]:
    """The reasons that follow from the plan and its laws alone, in the order of `Doubt`."""
    return tuple(dict.fromkeys(_doubts(program, laws, plan)))


def _doubts(program: Program, laws: Mapping[Shape, AnyLaw], plan: Plan) -> Iterator[Doubt]:
    sources = {law.provenance.source for law in laws.values()}
    if "published" in sources:
        yield "published"
    elif any(_unmeasured(law) for law in laws.values()):
        yield "no-measurements"
    if _mixed(plan) > MIXED:
        yield "mixture"
    moved = [program.moved(before.shape, after.shape) for before, after in itertools.pairwise(plan.stages)]
    if not program.metric.own and any(
        axis.kind.caution and axis.kind.data == program.metric.data for axis in sum(moved, ())
    ):
        # At equal loss in the longest context, models that were trained at different contexts are not equally far.
        yield "metric"
    used = [laws[stage.shape].provenance for stage in plan.stages if stage.shape in laws]
    if any(one.curve is not None and rises(one.curve) for one in used):
        yield "rises"
    if any(one.learning_rate == "falling" for one in used):
        yield "falling-rate"
    if any(_of_ends(law) for law in laws.values()):
        yield "annealed"


def _unmeasured(law: AnyLaw) -> bool:
    """Whether a fitted law lacks its curve. Laws of ends have none: ends are not a curve."""
    return law.provenance.source == "fit" and law.provenance.curve is None and not _of_ends(law)


def _of_ends(law: AnyLaw) -> bool:
    return law.provenance.learning_rate == "annealed"


def _mixed(plan: Plan) -> float:
    """The share of steps that are not in the shape of their stage; a single stage with blends is a mixture at once."""
    blended = sum(blend.share * (blend.last - blend.first) for stage in plan.stages for blend in stage.blends)
    if blended and len(plan.stages) == 1:
        return 1.0
    return blended / plan.totals.steps if plan.totals.steps else 0.0


def rises(curve: MeasuredCurve) -> bool:
    """Whether a measured curve rises above an earlier point, beyond its noise."""
    lowest, limit = math.inf, max(RISE, NOISES * curve.noise)
    for error in curve.error:
        if math.log(error) - lowest > limit:
            return True
        lowest = min(lowest, math.log(error))
    return False
