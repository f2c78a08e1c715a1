"""Statistics of savings in pairs: the plan and a rival with the same seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import attrs

LEVEL = 0.95
"""The confidence level of the interval."""


@attrs.frozen
class Paired:
    """The mean of paired differences, with the interval and the test of Student (1908)."""

    mean: float
    low: float | None
    """Lower end of the 95% interval of the mean; None with one pair."""
    high: float | None
    p: float | None
    """Two-sided probability of a mean at least this far from 0 if the true mean is 0; None with one pair."""


def paired(values: Sequence[float | None]) -> Paired | None:
    """The statistics of one value per seed. None if a seed has no value: leaving it out would bias the mean."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    mean = statistics.mean(known)
    if len(known) == 1:
        return Paired(mean, None, None, None)
    error = statistics.stdev(known) / math.sqrt(len(known))
    if error == 0:
        return Paired(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    # Imported here, since it takes longer than a command needs to start.
    from scipy.special import stdtr, stdtrit

    free = len(known) - 1
    half = float(stdtrit(free, (1 + LEVEL) / 2)) * error
    return Paired(mean, mean - half, mean + half, 2 * float(stdtr(free, -abs(mean) / error)))
