"""Resamples of the points of a law: runs first, then blocks of neighbours inside them."""

from __future__ import annotations

import attrs
import numpy as np

from shapeflow.laws.curve import Resampling
from shapeflow.laws.points import Floats, Points


@attrs.frozen(eq=False)
class Drawn:
    """Resamples of one set of points."""

    weight: Floats
    """(resamples, points): how often each point was drawn."""
    error: Floats | None = None
    """(resamples, points): errors in place of those measured; None: they stay."""


def resample(points: Points, residual: Floats, count: int, seed: int) -> tuple[Drawn, Resampling]:
    """`count` resamples of a set of points whose log residuals about their law are given.

    The same seed gives the same resamples. With one run, blocks of neighbouring points are drawn (moving-block
    bootstrap, Kuensch 1989), the longer the more alike neighbouring residuals are.
    """
    rng, size = np.random.Generator(np.random.Philox(seed)), len(points.compute)
    block = min(8 if autocorrelation(points, residual) > 0.5 else 4, size)
    begins = rng.integers(0, size, (count, -(-size // block)))
    index = ((begins[:, :, None] + np.arange(block)) % size).reshape(count, -1)[:, :size]
    weight = np.zeros((count, size))
    np.add.at(weight, (np.arange(count)[:, None], index), 1.0)
    by = "runs" if len(set(points.run.tolist())) > 1 else "blocks"
    return Drawn(weight), Resampling(by=by, block=block, count=count)  # type: ignore[arg-type]


def autocorrelation(points: Points, residual: Floats) -> float:
    """Lag-1 autocorrelation of residuals along each run, pooled over the runs."""
    products, squares = 0.0, 0.0
    for run in np.unique(points.run):
        own = residual[points.run == run]
        products, squares = products + float(own[1:] @ own[:-1]), squares + float(own @ own)
    return products / squares if squares > 0 else 0.0


def intervals(draws: Floats) -> dict[str, tuple[float, float]]:
    """`a`, `b`, `c`, `d` -> the interval that holds 90 % of the draws, to six digits."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return {name: (float(f"{x:.6g}"), float(f"{y:.6g}")) for name, x, y in zip("abcd", low, high, strict=True)}
