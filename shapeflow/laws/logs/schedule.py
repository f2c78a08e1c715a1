"""Detect the learning rate schedule of a run, and the points at which it diverged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from shapeflow.laws.logs.points import Point

FALLEN = 0.9
"""A learning rate is constant if it stays above this fraction of its maximum after it reached the maximum."""
FLAT, LEAST, COOLED = 0.99, 0.5, 0.3
"""A run is cut where its rate begins to fall if the rate stays above `FLAT` of its maximum over the share `LEAST` of
the run, and ends at `COOLED` of it or below."""
SPARSE, ROUGHLY = 0.25, 0.02
"""Rates were logged up to the end of a run if what is left is no longer than the distance between them and a quarter of
the run, or than a fiftieth of it."""
JUMP, TIMES = 1.25, 3.0
"""Errors up to 1.25 times the lowest error never count as diverged. Errors above 3 times the lowest error count as
diverged, unless they are within the noise."""
SIGMAS = 5.0
"""Errors within this many standard deviations of the noise never count as diverged."""


def learning_rate(rates: Mapping[float, float], last: float = 0.0) -> Literal["constant", "falling"] | None:
    """Return `falling` if the learning rate drops below 0.9 of its maximum after the step of the maximum, otherwise
    `constant`. Warm-up is before the maximum, so it does not count.

    `rates`: step -> learning rate; `last`: the last step of the run. None for fewer than two values, if no value is
    above 0, or if the rates do not fall and were not logged up to the end: they may fall there.
    """
    values = [rates[step] for step in sorted(rates)]
    if len(values) < 2 or max(values) <= 0:
        return None
    top = max(range(len(values)), key=values.__getitem__)
    if min(values[top:]) < FALLEN * values[top]:
        return "falling"
    return "constant" if _logged_to(rates, last) else None


def _logged_to(rates: Mapping[float, float], last: float) -> bool:
    """Whether rates were logged up to the last step, as far as the distance between them allows."""
    steps = sorted(rates)
    apart = max(after - before for before, after in pairwise(steps))
    return last - steps[-1] <= max(min(apart, SPARSE * last), ROUGHLY * last)


def fall(rates: Mapping[float, float]) -> float | None:
    """Return the step after which the learning rate of a run falls, for a run that ends in a cooldown: its rate is
    constant over half of the run or more, and then falls, without a rise, to 0.3 of it or less. None for any other
    schedule."""
    steps = sorted(rates)
    values = [rates[step] for step in steps]
    top = max(values, default=0.0)
    if len(values) < 3 or top <= 0:
        return None
    level = [index for index, value in enumerate(values) if value >= FLAT * top]
    first, last = level[0], level[-1]
    falls = all(after <= before for before, after in pairwise(values[last:]))
    constant = len(level) == last - first + 1 and steps[last] - steps[first] >= LEAST * steps[-1]
    return steps[last] if constant and falls and values[-1] <= COOLED * values[last] else None


def diverged(points: Sequence[Point]) -> list[Point]:
    """Return the points at which a run has diverged. `points`: sorted by compute.

    A run diverges when the error rises above the midpoint of the first and the lowest error, or above 3 times the
    lowest error. It recovers when the error drops to the recovery threshold: 1.25 times the lowest error, multiplied by
    a margin for the noise. An error below this threshold never counts as diverged. The lowest error is a minimum of
    medians over three points, so that a single point does not determine it. The noise is estimated by the median
    absolute deviation of the differences of log error between neighbouring points.
    """
    if len(points) < 3:
        return []
    errors = np.array([point.error for point in points])
    steps = np.diff(np.log(errors))
    sigma = float(np.median(np.abs(steps - np.median(steps)))) / 0.6745 / math.sqrt(2)
    noise = JUMP * math.exp(min(SIGMAS * sigma, 50.0))
    # The lowest error so far, before each point but the first.
    middle = np.concatenate(([(errors[0] + errors[1]) / 2], np.median(sliding_window_view(errors, 3), axis=1)))
    lowest = np.minimum.accumulate(np.concatenate((errors[:1], middle)))[:-1]
    lost = np.maximum(noise, np.minimum(TIMES, (1 + errors[0] / lowest) / 2))
    leaves, stays = errors[1:] > lowest * lost, errors[1:] > lowest * noise
    found: list[Point] = []
    away = False
    for index in np.flatnonzero(stays).tolist() if leaves.any() else ():
        away = bool(leaves[index]) or (away and bool(stays[index - 1]))
        if away:
            found.append(points[index + 1])
    return found
