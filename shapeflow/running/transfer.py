"""Computes eta, the share of progress that survives a switch, from a run that is forked at the switch.

A run in the old shape reaches error E and continues in the new shape. Let C(e) be the compute that the new shape needs
from scratch to reach error e, by its law or by a run (the reference). Let s be the compute that the forked run has
spent in the new shape when it reaches e. Then C(e) - s is the value of the state at the switch, in compute, and

    eta = (C(e) - s) / C(E)

is that value relative to C(E), which a memoryless law (paper A) assumes. A run that follows the law of the new shape
from the point eta C(E) on gives the same eta at every e. Real runs have a transient after the switch. The targets e are
therefore the measurements in the later half of the forked run, after it has recovered E; the result is the mean of eta
over them.

Assumptions: both errors have the same metric (a loss at the own context of each shape is used as in the laws); s counts
steps at the cost of the new shape, as predictions do; the reference is correct. An error of the reference is the same
for all seeds, so the interval over seeds does not include it: eta is not reliable near the floor of a law, or outside
the range that the law was fitted to.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.credits import Pair, Trial

Reference = Callable[[float], float]
"""Error -> FLOPs that the new shape needs from scratch to reach it; infinite if it never does, or if this is
unknown."""


@attrs.frozen
class Point:
    """A measurement after a switch. FLOPs since the switch: `spent` as charged, `own` with every step at the cost of
    the new shape."""

    spent: float
    own: float
    error: float


@attrs.frozen
class Forked:
    """The measurements of a probe with one seed."""

    seed: int
    at: float
    """FLOPs of the run before the switch."""
    before: float
    """The error at the switch."""
    moved: tuple[Point, ...]
    """The branch that switched, from its first step on."""
    stayed: float
    """The error at the end of the branch that did not switch."""
    seconds: float | None


def recovery(before: float, moved: Sequence[Point]) -> float | None:
    """FLOPs after a switch until the error is back at its value before the switch, interpolated linearly between
    measurements; None if it never is."""
    last: Point | None = None
    for point in moved:
        if point.error <= before:
            if last is None:
                return point.spent
            return last.spent + (point.spent - last.spent) * (last.error - before) / (last.error - point.error)
        last = point
    return None


def etas(forked: Forked, reference: Reference) -> list[float]:
    """eta at each target; empty if the reference never reaches the error at the switch or at a target."""
    back = recovery(forked.before, forked.moved)
    half = 0.5 * forked.moved[-1].spent
    targets = [point for point in forked.moved if point.spent >= max(half, back or 0.0)] or [forked.moved[-1]]
    whole = reference(forked.before)
    found = [(reference(point.error) - point.own) / whole if whole > 0 else math.inf for point in targets]
    return found if math.isfinite(whole) and all(map(math.isfinite, found)) else []


def trial(forked: Forked, reference: Reference) -> Trial:
    """The outcome of one seed."""
    found, end = etas(forked, reference), forked.moved[-1]
    return Trial(
        seed=forked.seed,
        eta=statistics.mean(found) if found else None,
        low=min(found, default=None),
        high=max(found, default=None),
        targets=len(found),
        at=forked.at,
        before=forked.before,
        after=forked.moved[0].error,
        end=end.error,
        stayed=forked.stayed,
        trained=end.spent,
        recovery=recovery(forked.before, forked.moved),
        seconds=forked.seconds,
    )


def pair(
    axis: str,
    values: tuple[Value, Value],
    beside: Shape,
    reference: Literal["law", "run"],
    spent: float,
    trials: Sequence[Trial],
) -> Pair:
    """Combine the outcomes of all seeds; eta is None unless every seed has one."""
    known = [one.eta for one in trials if one.eta is not None]
    low, high = interval(known) if len(known) == len(trials) > 1 else (None, None)
    back = [one.recovery for one in trials if one.recovery is not None]
    seconds = [one.seconds for one in trials if one.seconds is not None]
    return Pair(
        axis=axis,
        before=values[0],
        after=values[1],
        beside=beside,
        reference=reference,
        eta=statistics.mean(known) if len(known) == len(trials) else None,
        low=low,
        high=high,
        recovery=statistics.mean(back) if len(back) == len(trials) else None,
        seconds=statistics.median(seconds) if seconds else None,
        spent=spent,
        trials=tuple(trials),
    )


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of a mean over two or more seeds, by Student's t distribution."""
    # Import scipy only for a probe, since it is slow to import.
    from scipy.special import stdtrit

    mean, wide = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 0.975)) * wide
    return mean - reach, mean + reach
