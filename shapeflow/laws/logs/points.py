"""Select the points that a law is fitted to from the runs of one shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.units import Amount

Floats = NDArray[np.float64]
LEAST = 5
"""Minimum number of points at different compute that a law with four parameters is fitted to."""
SMALL = 1e6
"""FLOPs. Any real training run takes more."""
FEWEST = 12
"""Minimum number of points that are kept of each run, regardless of the number of runs."""


@attrs.frozen
class Point:
    """One measurement of one run."""

    compute: float
    """FLOPs since the start of the run, above 0."""
    error: float
    """Error, above 0."""
    step: float | None = None


@attrs.frozen(eq=False)
class Points:
    """The points that one law is fitted to: compute in FLOPs, in ascending order, and the measured errors. All are
    finite and above 0."""

    compute: Floats
    error: Floats
    run: NDArray[np.intp] = attrs.field(
        default=attrs.Factory(lambda self: np.zeros(len(self.compute), np.intp), takes_self=True)
    )
    """Index of the run of each point: 0, 1, ..."""

    @classmethod
    def of(cls, points: Sequence[tuple[int, Point]]) -> Points:
        """Return the points of (run, point) pairs, sorted by compute."""
        ordered = sorted(points, key=lambda pair: pair[1].compute)
        compute, error = [p.compute for _, p in ordered], [p.error for _, p in ordered]
        return cls(np.array(compute), np.array(error), np.array([run for run, _ in ordered], np.intp))

    def chosen(self, which: NDArray[np.bool_]) -> Points:
        """Return the points that the mask `which` selects."""
        return Points(self.compute[which], self.error[which], self.run[which])


def select(runs: Sequence[Sequence[Point]], drop_warmup: Amount, bins: int) -> tuple[Points, dict[str, int]]:
    """Return the merged points of several runs of one shape, and the number of dropped points by reason.

    The beginning of each run is dropped (see `after_warmup`). Of the rest, the measured points nearest to the centres
    of bins of equal width in log compute are selected, so that all parts of the curve have equal weight (paper A, B.4).
    The `bins` are split evenly among the runs, with at least `FEWEST` bins per run. Raises ValueError if `drop_warmup`
    is in steps and a run does not have steps.
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
    """Return the points of a run without its beginning, sorted by compute.

    `drop`: a number of points, a fraction of the points of the run, or the compute or step before which all points are
    dropped. Raises ValueError if `drop` is in steps and a point does not have a step.
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
    """Return at most one point per bin of equal width in log compute: the point nearest to the centre of the bin.
    `points`: sorted by compute."""
    return [points[i] for i in thinned(np.array([point.compute for point in points]), bins).tolist()]


def thinned(compute: Floats, bins: int) -> NDArray[np.intp]:
    """Return the indices of the points that `thin` keeps. `compute`: in ascending order."""
    if len(compute) <= bins:
        return np.arange(len(compute))
    logs = np.log(compute)
    width = (logs[-1] - logs[0]) / bins
    if not width > 0:
        return np.zeros(1, np.intp)
    bin_of = np.minimum(((logs - logs[0]) / width).astype(int), bins - 1)
    off = np.abs(logs - (logs[0] + (bin_of + 0.5) * width))
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    nearest = np.repeat(np.minimum.reduceat(off, starts), np.diff(starts, append=len(off)))
    # Of points that are equally near, the last one.
    near = np.flatnonzero(off == nearest)
    last: NDArray[np.intp] = near[np.diff(bin_of[near], append=bins) > 0]
    return last
