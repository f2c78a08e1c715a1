"""Shows the intervals of a plan, which were computed from resampled laws. Reads only the plan."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator

from rich.table import Table

from shapeflow.base.shapes import Shape
from shapeflow.ir.events import Measured
from shapeflow.ir.plan import Pair, Plan, Uncertainty
from shapeflow.preview.numbers import error, flops, percent, scale

DIGITS = 1e-5
"""Relative tolerance of a comparison with the compute of the band, which is stored with six digits."""


def withheld(plan: Plan) -> tuple[str, ...]:
    """The reasons why no saving is quoted; empty if one is quoted."""
    return () if plan.uncertainty is None else plan.uncertainty.reasons


def basis(found: Uncertainty) -> str:
    """What an interval covers, such as `90% of 400 resamples`."""
    return f"{100 * found.level:.3g}% of {found.resamples} resamples"


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


def interval_table(plan: Plan) -> Table | None:
    """A table of the errors at the switches and at the end, and of the compute to reach the final error, with
    intervals. None without resamples."""
    found = plan.uncertainty
    if found is None or not found.resamples:
        return None
    table = Table(box=None, padding=(0, 2))
    table.add_column("", overflow="fold")
    table.add_column("predicted", justify="right")
    table.add_column(basis(found), justify="right")
    for row in _rows(plan, found):
        table.add_row(*row)
    return table


def _rows(plan: Plan, found: Uncertainty) -> Iterator[tuple[str, str, str]]:
    def errors(value: float) -> str:
        return error(value, plan.metric)

    for (before, stage), pair in zip(itertools.pairwise(plan.stages), found.switches, strict=True):
        moved = Shape.of({axis: stage.shape[axis] for axis in before.shape.changed(stage.shape)})
        yield f"switch to {moved.written(plan.units)} at", error(before.leave.error, plan.metric), between(pair, errors)
    reached = error(plan.totals.error, plan.metric)
    yield f"{plan.metric} at the end", reached, between(found.error, errors)
    yield f"compute to reach {reached}", flops(plan.totals.compute or 0.0), _compute(found)


def _compute(found: Uncertainty) -> str:
    low, high = found.compute or (None, None)
    if low is None:
        return "-"
    if high is None:
        return f"{flops(low)} to not reached"
    prefix, size = scale(high)
    return f"{low / size:.4g} to {high / size:.4g} {prefix}FLOPs"


def conditions(found: Uncertainty) -> Iterator[str]:
    """Yield caveats of the intervals."""
    if None in found.switches and found.resamples:
        yield "a dash: no interval, as the switch is not where two laws cross, or they cross in too few resamples"
    if found.by == "noise":
        yield "intervals hold for these runs only: some shapes have a single run, and another run may differ"


def saving(plan: Plan, value: float | None, pair: Pair | None) -> str:
    """The saving as text, such as `saving +3.5%`, with its interval if there is one."""
    if pair is None or plan.uncertainty is None:
        return f"saving {percent(value)}"
    return f"saving {percent(value)} ({between(pair, percent)} in {basis(plan.uncertainty)})"
