"""The intervals of a plan's predicted errors, in words. Reads the plan alone."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

from shapeflow.ir.events import Measured
from shapeflow.ir.plan import Pair, Plan, Uncertainty
from shapeflow.preview.numbers import error

DIGITS = 1e-5
"""Relative tolerance of a comparison with the compute of the band, which is stored with six digits."""


def basis(found: Uncertainty) -> str:
    """What an interval covers: `90% of 400 draws`."""
    return f"{100 * found.level:.3g}% of {found.draws} draws"


def between(pair: Pair | None, written: Callable[[float], str]) -> str:
    """An interval as text, such as `1.53 to 1.54`; `-` if there is none."""
    return "-" if pair is None else f"{written(pair[0])} to {written(pair[1])}"


def expected_between(plan: Plan, compute: float) -> Pair | None:
    """The interval of the error after `compute` FLOPs; None without a band, or outside the band."""
    band = () if plan.uncertainty is None else plan.uncertainty.band
    at = bisect.bisect_left([one[0] for one in band], compute * (1 - DIGITS))
    if at == len(band):
        return None
    here = band[at]
    # At a switch, the band contains the end of one stage and then the start of the next. A measurement at the switch
    # belongs to the end.
    if here[0] <= compute * (1 + DIGITS):
        return here[1], here[2]
    if at == 0:
        return None
    before = band[at - 1]
    part = math.log(compute / before[0]) / math.log(here[0] / before[0])
    return before[1] + part * (here[1] - before[1]), before[2] + part * (here[2] - before[2])


def expectation(plan: Plan, at: Measured) -> str:
    """The value that the laws predict for a measurement, with its interval, such as `1.54 (1.53 to 1.55)`."""
    pair = expected_between(plan, at.compute)
    wide = "" if pair is None else f" ({between(pair, lambda value: error(value, plan.metric))})"
    # Laws do not include the effect of a schedule, so say that the prediction is for a constant rate.
    rate = "" if plan.schedule is None else " at a constant learning rate"
    return f"{error(at.predicted, plan.metric)}{wide}{rate}"
