"""From the runs of one shape to its measured curve: log error against log compute, averaged over runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shapeflow.ir.law import MeasuredCurve
from shapeflow.laws.logs.points import Floats, Point

POINTS = 30
"""Largest number of points of a curve. Each is the mean of the points in a bin of equal width in log compute."""
NOISE = 1e-4
"""Smallest standard deviation of the noise, in log error."""
UNKNOWN_NOISE = 3e-4
"""The noise of a curve of fewer points than its estimate needs."""
SMOOTHED = 7
"""Points over which a curve is averaged before its slope is taken."""
FLAT = 0.01
"""Smallest slope of log error over log compute: differences between runs are divided by it."""


def measured_curve(runs: Sequence[Sequence[Point]]) -> MeasuredCurve | None:
    """The curve of one shape over the range of compute that all its runs share.

    `runs`: the points of each run after its warm-up, in order of compute. None if a run has no points, or if the runs
    share no range. Three quantities are estimated: the noise of the averaged points, from second differences along
    each run; the spread of the runs, as the sum over runs of the mean squared difference from their mean in log
    compute; and how far the curve rises above its own minimum.
    """
    binned = [_binned(run) for run in runs if run]
    if not binned or len(binned) < len(runs):
        return None
    first, last = max(x[0] for x, _ in binned), min(x[-1] for x, _ in binned)
    if len(binned) == 1:
        (x, y), spread = binned[0], 0.0
    elif first >= last:
        return None
    else:
        x = np.linspace(first, last, min(POINTS, max(len(x) for x, _ in binned)))
        each = np.array([np.interp(x, *one) for one in binned])
        y = each.mean(0)
        spread = float(np.mean(((each - y) / slope_of(x, y)) ** 2, axis=1).sum())
    noise = float(np.sqrt(np.mean([_noise(y) ** 2 for _, y in binned]) / len(binned)))
    return MeasuredCurve(
        compute=tuple(_short(value) for value in np.exp(x)),
        error=tuple(_short(value) for value in np.exp(y)),
        noise=_short(noise),
        runs=len(binned),
        spread=_short(spread),
    )


def _binned(run: Sequence[Point]) -> tuple[Floats, Floats]:
    """Log compute and log error, each a mean over the points of a bin."""
    x, y = np.log([point.compute for point in run]), np.log([point.error for point in run])
    if len(x) <= POINTS:
        return x, y
    width = max((x[-1] - x[0]) / POINTS, 1e-12)
    bins = np.minimum(((x - x[0]) / width).astype(int), POINTS - 1)
    used = np.unique(bins)
    return np.array([x[bins == one].mean() for one in used]), np.array([y[bins == one].mean() for one in used])


def _noise(y: Floats) -> float:
    """Standard deviation of the noise from point to point, by second differences of the last two thirds."""
    y = y[len(y) // 3 :]
    if len(y) < 4:
        return UNKNOWN_NOISE
    return max(float(np.sqrt(np.mean((y[2:] - 2 * y[1:-1] + y[:-2]) ** 2) / 6)), NOISE)


def slope_of(x: Floats, y: Floats) -> Floats:
    """d log error / d log compute along a curve, at most -`FLAT`. Points at equal compute count as their mean."""
    places, of = np.unique(x, return_inverse=True)
    if len(places) < 2:
        return np.full_like(x, -FLAT)
    means = np.bincount(of, y) / np.bincount(of)
    smooth = np.convolve(np.pad(means, SMOOTHED // 2, mode="edge"), np.ones(SMOOTHED) / SMOOTHED, "valid")
    return np.asarray(np.minimum(np.gradient(smooth, places), -FLAT)[of])


def _short(value: float) -> float:
    """Rounded to eight digits: a plan file keeps the curve."""
    return float(f"{value:.8g}")
