"""The predicted error at the end of a plan, with its intervals."""

from __future__ import annotations

import math

from shapeflow.ir.answer import Range
from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import error

NORMAL = 1.6449
"""The 95th percentile of the normal distribution."""


def final_error(plan: Plan, found: Range) -> str:
    """The error in words. Its interval holds on the held-out set that the laws were measured on, as a run of the plan
    measures it. A second interval, for all such data, is given where runs state the standard error of this set."""
    middle, low, high = (error(value, plan.metric) for value in (found.middle, found.low, found.high))
    said = f"{plan.metric} {middle} at the end (90%: {low} to {high}"
    law = plan.law_of(plan.stages[-1])
    if law is None or not (deviation := law.provenance.held_out_error):
        return f"{said})"
    low, high = (error(value, plan.metric) for value in widened(found, deviation))
    return f"{said} on this held-out set, {low} to {high} for all such data)"


def widened(found: Range, deviation: float) -> tuple[float, float]:
    """The 90% interval for all data like the held-out set. `deviation`: the standard error of the set, which is common
    to all its evaluations and independent of the law's own error: both add in quadrature.

    `benchmarks/held_out_errors.py` measures the coverage of such intervals."""
    wide = NORMAL * deviation
    low = found.middle - math.hypot(found.middle - found.low, wide)
    return max(low, 0.0), found.middle + math.hypot(found.high - found.middle, wide)
