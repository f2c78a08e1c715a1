"""What survives a switch: eta, from a run that was forked at the switch.

A run in the shape before stands at error E after so much compute. From there it goes on in the shape after. Let C(e) be
the compute that the shape after needs from nothing to an error e, by its law or by a run (the reference), and s what
the forked run has spent in it when it stands at e. Then C(e) - s is what the state was worth at the switch, and

    eta = (C(e) - s) / C(E)

is that worth as a share of what a memoryless law (paper A) takes it for. A run that follows the law of the shape after
from the point eta C(E) on gives the same eta at every e. Real runs have a transient behind the switch, so targets e are
the measurements in the later half of the forked run, behind the point where it was back at E; eta is their mean.

What this takes for granted: that both errors are of one metric (a loss at each shape's own context is taken as the laws
take it); that s counts steps at the price of the shape after, as forecasts do; and that the reference is right. An
error of the reference is common to all seeds, so the interval over seeds does not hold it: near a law's floor, or
beyond what it was fitted to, eta is worth little.
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
"""Error -> FLOPs that the shape after needs for it from nothing; infinite where it never gets there, or where nobody
knows."""


@attrs.frozen
class Point:
    """A measurement behind a switch. Compute in FLOPs since then: `spent` as it was charged, `own` with every step at
    the price of the shape after."""

    spent: float
    own: float
    error: float


@attrs.frozen
class Forked:
    """What a probe saw with one seed."""

    seed: int
    at: float
    """FLOPs of the run up to the switch."""
    before: float
    """The error there."""
    moved: tuple[Point, ...]
    """The side that switched, its first step on."""
    stayed: float
    """The error at the end of the side that went on."""
    seconds: float | None


def recovery(before: float, moved: Sequence[Point]) -> float | None:
    """FLOPs behind a switch until its error is reached again, on a line between two measurements; None where it never
    is."""
    last: Point | None = None
    for point in moved:
        if point.error <= before:
            if last is None:
                return point.spent
            return last.spent + (point.spent - last.spent) * (last.error - before) / (last.error - point.error)
        last = point
    return None


def etas(forked: Forked, reference: Reference) -> list[float]:
    """eta at each target; empty where the reference never stands at the error of the switch or of a target."""
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
    """All seeds' outcomes as one; eta is known where every seed has one."""
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
    """The 95% interval of a mean over two seeds or more, by Student's t."""
    # scipy is slow to import, and only a probe needs it.
    from scipy.special import stdtrit

    mean, wide = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 0.975)) * wide
    return mean - reach, mean + reach
