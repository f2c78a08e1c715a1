"""What a run's points say of how the run went: its learning rate, and where it diverged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

from shapeflow.laws.logs.points import Point

FALLEN = 0.9
"""The share of its highest value that a constant learning rate never goes below, once it was there."""
JUMP, TIMES = 1.25, 3.0
"""A diverged run stands above the first of these times its lowest error; above the second it always has."""
SIGMAS = 5.0
"""Standard deviations of noise that no divergence stays within."""


def learning_rate(rates: Mapping[float, float]) -> Literal["constant", "falling"] | None:
    """How a learning rate goes, by step: `falling` where it comes below 0.9 of its highest value behind this, so that a
    warm-up is no fall. None for fewer than two values."""
    values = [rates[step] for step in sorted(rates)]
    if len(values) < 2 or max(values) <= 0:
        return None
    top = max(range(len(values)), key=values.__getitem__)
    return "falling" if min(values[top:]) < FALLEN * values[top] else "constant"


def diverged(points: Sequence[Point]) -> list[Point]:
    """The points at which a run has diverged, of points in order of compute.

    It has where the error has lost more than half of what it had gained since the first point, or is three times the
    lowest so far; not within the noise, and not below 1.25 times the lowest. It is back where it comes below that. The
    lowest is that of medians of three, so that one point does not set it. Noise is the median absolute deviation of the
    steps of log error from one point to the next.
    """
    found: list[Point] = []
    if len(points) < 3:
        return found
    steps = [math.log(after.error) - math.log(before.error) for before, after in pairwise(points)]
    middle = median(steps)
    sigma = median(abs(step - middle) for step in steps) / 0.6745 / math.sqrt(2)
    noise = JUMP * math.exp(min(SIGMAS * sigma, 50.0))
    first = lowest = points[0].error
    away = False
    for index in range(1, len(points)):
        lost = max(noise, min(TIMES, (1 + first / lowest) / 2))
        away = points[index].error > lowest * (noise if away else lost)
        if away:
            found.append(points[index])
        lowest = min(lowest, median(point.error for point in points[max(0, index - 2) : index + 1]))
    return found
