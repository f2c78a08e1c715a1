"""Crossings of the rates of two resampled laws: the error of a switch, in every resample.

The search is that of `shapeflow/traversals/envelope.py` for one pair of laws, over all resamples at once.
"""

from __future__ import annotations

import numpy as np

from shapeflow.stages.assess.sample import Floats, Sample

HALVINGS = 64


def crossings(upper: Sample, lower: Sample, ease: float, start: float) -> Floats:
    """(2, resamples): the errors below `start` at which `lower` becomes the cheaper law per unit of error, NaN if there
    is none. Two laws cross at most twice.

    `ease`: log of the weight of a unit of error in `lower`, relative to one in `upper`; 0 if the switch is free.
    """
    p, q = _rate(upper), _rate(lower)
    floor = np.maximum(upper.c, lower.c)
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = (p[1] * lower.c - q[1] * upper.c) / (p[1] - q[1])
    turn = np.where((turn > floor) & (turn < start), turn, start)
    left, right = np.stack([floor, turn]), np.stack([turn, np.full_like(turn, start)])
    # At a floor both rates may be infinite: start slightly above it.
    left = np.where(left < right, left + (right - left) * 1e-13, left)

    def gap(error: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            mine: Floats = p[0] - p[1] * np.log(np.maximum(error - upper.c, 0.0))
            other: Floats = q[0] - q[1] * np.log(np.maximum(error - lower.c, 0.0))
            return mine - other - ease

    inside = (left < right) & (gap(left) > 0) & (gap(right) < 0)
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        same = gap(middle) > 0
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return np.where(inside, 0.5 * (left + right), np.nan)


def nearest(found: Floats, place: float) -> Floats:
    """(resamples,): the one of two crossings that is nearer to `place`; NaN if there is none."""
    away = np.where(np.isnan(found), np.inf, np.abs(found - place))
    nearer: Floats = np.where(away[0] <= away[1], found[0], found[1])
    return nearer


def _rate(law: Sample) -> tuple[Floats, Floats]:
    """k and s of log |dC/dE| = k - s log(E - c)."""
    log_a = np.log(law.a)
    return log_a / law.b - np.log(law.b), 1 / law.b + 1
