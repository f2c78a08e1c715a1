"""From the runs of one shape to the points that its law is fitted to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.units import Amount

Floats = NDArray[np.float64]
FEWEST = 12
"""Points of a run that are kept, however many runs share a law's points."""


@attrs.frozen
class Point:
    """One measurement of one run."""

    compute: float
    """FLOPs since the run began; above 0."""
    error: float
    """Above 0."""
    step: float | None = None


@attrs.frozen(eq=False)
class Points:
    """What one law is fitted to: compute in FLOPs, ascending, and the errors measured there; all finite and above 0."""

    compute: Floats
    error: Floats
    run: NDArray[np.intp] = attrs.field(
        default=attrs.Factory(lambda self: np.zeros(len(self.compute), np.intp), takes_self=True)
    )
    """Which run each point is of: 0, 1, ..."""

    @classmethod
    def of(cls, points: Sequence[tuple[int, Point]]) -> Points:
        """Of (run, point), in order of compute."""
        ordered = sorted(points, key=lambda pair: pair[1].compute)
        compute, error = [p.compute for _, p in ordered], [p.error for _, p in ordered]
        return cls(np.array(compute), np.array(error), np.array([run for run, _ in ordered], np.intp))

    def chosen(self, which: NDArray[np.bool_]) -> Points:
        """Some of them."""
        return Points(self.compute[which], self.error[which], self.run[which])


def select(runs: Sequence[Sequence[Point]], drop_warmup: Amount, bins: int) -> tuple[Points, dict[str, int]]:
    """The points of several runs of one shape, merged, and how many were dropped, by reason.

    The beginning of each run is dropped (see `after_warmup`); of the rest, the real points nearest to the middles of
    bins of equal width in log compute are taken, so that no stretch of the curve outweighs another (paper A, B.4).
    Runs share the `bins` evenly, so that each of them can be left out; none gets fewer than `FEWEST`.
    """
    dropped: Counter[str] = Counter()
    chosen: list[tuple[int, Point]] = []
    for index, run in enumerate(runs):
        rest = after_warmup(run, drop_warmup)
        kept = thin(rest, max(bins // len(runs), FEWEST))
        dropped["warm-up"] += len(run) - len(rest)
        dropped["resampling"] += len(rest) - len(kept)
        chosen += [(index, point) for point in kept]
    return Points.of(chosen), {reason: count for reason, count in dropped.items() if count}


def after_warmup(run: Sequence[Point], drop: Amount) -> list[Point]:
    """A run without its beginning.

    `drop`: a number of points, a ratio of the run's points, or all that lies before some compute or some steps. A run
    without a step column cannot be cut by steps and raises ValueError.
    """
    ordered = sorted(run, key=lambda point: point.compute)
    if drop.dimension == "compute":
        return [point for point in ordered if point.compute >= drop.value]
    if drop.dimension == "steps":
        if any(point.step is None for point in ordered):
            raise ValueError("the run has no steps")
        return [point for point in ordered if (point.step or 0) >= drop.value]
    count = math.ceil(drop.value * len(ordered)) if drop.dimension == "ratio" else int(drop.value)
    return ordered[count:]


def thin(points: Sequence[Point], bins: int) -> list[Point]:
    """Of points in order of compute, those nearest to the middles of bins of equal width in log compute, one a bin."""
    if len(points) <= bins:
        return list(points)
    logs = np.log([point.compute for point in points])
    width = (logs[-1] - logs[0]) / bins
    if not width > 0:
        return list(points[:1])
    bin_of = np.minimum(((logs - logs[0]) / width).astype(int), bins - 1)
    off = np.abs(logs - (logs[0] + (bin_of + 0.5) * width))
    best = {int(bin_of[i]): int(i) for i in sorted(range(len(points)), key=lambda i: -off[i])}
    return [points[i] for i in sorted(best.values())]
