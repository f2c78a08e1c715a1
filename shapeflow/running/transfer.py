"""Computes eta, the share of the progress that survives a switch, from a run that was forked at the switch.

A run in the old shape reaches error E, and continues in the new shape. Let C(e) be the compute that the new shape needs
from scratch to an error e, by its law or by a run (the reference), and s the compute that the forked run has spent in
the new shape when it reaches e. Then C(e) - s is what the state was worth at the switch, and

    eta = (C(e) - s) / C(E)

is that worth relative to what a memoryless law (paper A) assumes. A run that follows the law of the new shape from the
point eta C(E) on gives the same eta at every e. Real runs have a transient after the switch, so the targets e are the
measurements in the later half of the forked run, after it has recovered E; eta is their mean.

Assumptions: both errors are of one metric (a loss at each shape's own context is used as the laws use it); s counts
steps at the cost of the new shape, as forecasts do; and the reference is right. An error of the reference is common to
all seeds, so the interval over seeds does not include it: near a law's floor, or outside of the range that it was
fitted to, eta is not reliable.
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
"""Error -> FLOPs that the new shape needs from scratch to reach it; infinite where it never does, or where it is not
known."""


@attrs.frozen
class Point:
    """A measurement after a switch. Compute in FLOPs since the switch: `spent` as it was charged, `own` with every step
    at the cost of the new shape."""

    spent: float
    own: float
    error: float


@attrs.frozen
class Forked:
    """The measurements of a probe with one seed."""

    seed: int
    at: float
    """FLOPs of the run up to the switch."""
    before: float
    """The error there."""
    moved: tuple[Point, ...]
    """The branch that switched, from its first step on."""
    stayed: float
    """The error at the end of the branch that did not switch."""
    seconds: float | None


def recovery(before: float, moved: Sequence[Point]) -> float | None:
    """FLOPs after a switch until the error has recovered, interpolated linearly between measurements; None where it
    never does."""
    last: Point | None = None
    for point in moved:
        if point.error <= before:
            if last is None:
                return point.spent
            return last.spent + (point.spent - last.spent) * (last.error - before) / (last.error - point.error)
        last = point
    return None


def etas(forked: Forked, reference: Reference) -> list[float]:
    """eta at each target; empty where the reference never reaches the error of the switch or of a target."""
    back = recovery(forked.before, forked.moved)
    half = 0.5 * forked.moved[-1].spent
    targets = [point for point in forked.moved if point.spent >= max(half, back or 0.0)] or [forked.moved[-1]]
    whole = reference(forked.before)
    found = [(reference(point.error) - point.own) / whole if whole > 0 else math.inf for point in targets]
    return found if math.isfinite(whole) and all(map(math.isfinite, found)) else []


def trial(forked: Forked, reference: Reference) -> Trial:
    """One seed's outcome."""
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
    """The outcomes of all seeds combined; eta is known where every seed has one."""
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
    """The 95% interval of a mean over two or more seeds, by Student's t."""
    # scipy is slow to import, and only a probe needs it.
    from scipy.special import stdtrit

    mean, wide = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 0.975)) * wide
    return mean - reach, mean + reach
