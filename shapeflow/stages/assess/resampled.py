"""Intervals of a plan over the resamples of its laws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Pair, Plan, Stage, Uncertainty
from shapeflow.ir.program import Program
from shapeflow.stages.assess.crossing import crossings, nearest
from shapeflow.stages.assess.sample import Floats, Sample, bounds, interval, quantiles, rounded, samples
from shapeflow.stages.assess.walk import Leg, grid, reach, walk
from shapeflow.stages.previews import surcharge

LEVEL = 0.9
POINTS = 48
"""Number of points of the band, in addition to the ends of stages."""
MISSING = 0.05
"""Maximum share of resamples in which the two laws of a switch do not cross."""


def resampled(program: Program, laws: Mapping[Shape, Law], plan: Plan) -> Uncertainty:
    """The uncertainty of a plan with an expected error, under resampled laws; `reasons` is left empty."""
    target, drawn = plan.totals.error, samples(laws)
    assert target is not None
    legs = walk(program, plan, drawn)
    needs = reach(legs, target)
    low, high = quantiles(needs, LEVEL)
    fixed = {shape: sample.compute(target) for shape, sample in drawn.items()}
    best, last = plan.comparison.best_fixed, plan.comparison.last_shape_fixed
    return Uncertainty(
        level=LEVEL,
        resamples=len(needs),
        by="noise" if any(_of_one_run(law) for law in laws.values()) else "runs",
        switches=tuple(_switches(program, laws, plan, drawn)),
        error=interval(legs[-1].last, LEVEL),
        compute=None if low is None else (low, high),
        unreached=float(f"{np.mean(np.isinf(needs)):.6g}"),
        best_fixed=None if best.saving is None else _saving(needs, np.min(list(fixed.values()), axis=0)),
        last_shape_fixed=None if last.saving is None or last.shape is None else _saving(needs, fixed[last.shape]),
        band=tuple(_band(plan, legs)),
        reasons=(),
    )


def _of_one_run(law: Law) -> bool:
    how = law.provenance.resampling
    return law.draws is not None and (how is None or how.by == "noise")


def _saving(needs: Floats, fixed: Floats) -> Pair | None:
    """The interval of the saving. A plan that never reaches the error, or a shape that starts below it, counts as a
    saving of -inf."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(np.isfinite(needs) & (fixed > 0), 1 - needs / fixed, -np.inf)
    return interval(found, LEVEL)


def _switches(
    program: Program, laws: Mapping[Shape, Law], plan: Plan, drawn: Mapping[Shape, Sample]
) -> Iterator[Pair | None]:
    """For each switch the interval of the error at which its laws cross; None if the switch is not at a crossing."""
    start, crosses = plan.stages[0].enter.error, program.traversal is not None and program.traversal.crosses
    for before, after in itertools.pairwise(plan.stages):
        place = before.leave.error
        if not crosses or start is None or place is None:
            yield None
            continue
        ease = _ease(program, before.shape, after.shape)
        upper, lower = (Sample.of(attrs.evolve(laws[shape], draws=None), 1) for shape in (before.shape, after.shape))
        alone = float(nearest(crossings(upper, lower, ease, start), place)[0])
        if not abs(alone - place) <= _step(laws[before.shape], before, place):
            yield None
            continue
        found = nearest(crossings(drawn[before.shape], drawn[after.shape], ease, start), place)
        known = found[np.isfinite(found)]
        yield interval(known, LEVEL) if len(known) >= (1 - MISSING) * len(found) else None


def _ease(program: Program, before: Shape, after: Shape) -> float:
    """log(credit / (1 + surcharge)), the weight that `steepest` applies to its crossings."""
    kept = program.credit(before, after) / (1 + surcharge(program, before, after))
    return math.log(kept) if kept > 0 else -math.inf


def _step(law: Law, stage: Stage, error: float) -> float:
    """Tolerance for the error at a switch: how much the law falls in the last step of the stage, because a switch is
    rounded to the nearest step."""
    place = law.compute(error)
    return 1e-6 * abs(error) + (0.0 if stage.steps is None else -law.slope(place) * stage.cost)


def _band(plan: Plan, legs: Sequence[Leg]) -> Iterator[tuple[float, float, float]]:
    """(compute, low, high) of the error, at all points where it is known. A switch appears twice, once for each
    side."""
    for leg, places in zip(legs, grid(plan, POINTS), strict=True):
        for place in np.column_stack([places, *bounds(leg.error(places), LEVEL)]).tolist():
            at, low, high = map(rounded, place)
            if at is not None and low is not None and high is not None:
                yield at, low, high
