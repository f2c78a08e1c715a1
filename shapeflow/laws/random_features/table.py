"""A curve as a table of points, which a plan file can hold."""

from __future__ import annotations

import math

import numpy as np

from shapeflow.laws.random_features.loss import LossCurve

PER_DECADE = 20
"""Points per factor 10 of compute: interpolation changes compute by less than 1e-3."""
SETTLED = 1e-6
"""The table ends where the loss is above its floor by less than this share of the floor."""
MOST = 1e13
"""Steps at which it ends in any case: slower modes are not resolved."""


def falls(curve: LossCurve) -> bool:
    """Whether a loss falls by more than a share `SETTLED` from its first step to step `MOST`. Otherwise it has no
    table."""
    first, last = curve.above(np.array([1.0, MOST]))
    return bool(last < first * (1 - SETTLED))


def points(curve: LossCurve, step_compute: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """FLOPs and the loss above the floor, from one step, of `step_compute` FLOPs, until the loss has settled. Where the
    loss rises, points that are not below all points before them are left out. Rounded to 12 digits, since the last ones
    differ between processors."""
    last = 10.0
    while last < MOST and curve.above(np.array([last]))[0] > SETTLED * curve.floor:
        last *= 10
    steps = np.geomspace(1.0, last, round(math.log10(last)) * PER_DECADE + 1)
    above = curve.above(steps)
    begin = int(above.argmax())
    lowest = np.minimum.accumulate(above)
    falls = np.concatenate([[True], above[begin + 1 :] < lowest[begin:-1] * (1 - 1e-9)])
    kept = np.flatnonzero(falls & (above[begin:] > SETTLED * curve.floor)) + begin
    return tuple(map(_rounded, steps[kept] * step_compute)), tuple(map(_rounded, above[kept]))


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")
