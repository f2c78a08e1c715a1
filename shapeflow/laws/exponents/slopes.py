"""Exponents of the best width and of its loss, fitted to crossings.

The width of a crossing is known, and its compute and loss are measured. Both are therefore fitted over log width:

    log C = start + log(width) / xi        log(loss - floor) = level - (eta / xi) log(width)
"""

from __future__ import annotations

import attrs
import numpy as np

from shapeflow.laws.exponents.crossings import Crossings
from shapeflow.laws.exponents.estimate import Estimate
from shapeflow.laws.logs.points import Floats

FOR_FLOOR = 4
"""Fewest crossings from which a floor is estimated."""
FLATTENS = 0.1
"""Part by which the exponent of the loss must fall between the halves of the range for a floor to be fitted."""
SURE = 0.98
"""Part of the draws that must agree that an exponent changes between the halves."""
CHANGES = 0.05
"""A change by a smaller part of the exponent is no change."""
FLOORS = np.concatenate([[0.0], 1 - np.geomspace(1.0, 0.002, 121)[1:]])
"""Floors that are tried, as parts of the lowest loss on the envelope."""


@attrs.frozen(eq=False)
class Lines:
    """The fitted lines of each draw, all (draws,)."""

    start: Floats
    inverse: Floats
    """1 / xi."""
    level: Floats
    fall: Floats
    """eta / xi."""
    floor: Floats
    """0 for a power law without a floor."""

    @property
    def xi(self) -> Floats:
        return np.asarray(1 / np.where(self.inverse > 0, self.inverse, np.nan))

    @property
    def eta(self) -> Floats:
        return np.asarray(self.fall * self.xi)

    def log_width(self, log_compute: float) -> Floats:
        """(draws,): log of the best width."""
        return np.asarray((log_compute - self.start) * self.xi)

    def loss(self, log_compute: float) -> Floats:
        """(draws,): the loss at the best width."""
        return np.asarray(self.floor + np.exp(self.level - self.fall * self.log_width(log_compute)))


@attrs.frozen
class Change:
    """An exponent in the first and the second half of the crossings."""

    first: Estimate
    second: Estimate
    real: bool
    """Whether it changes by more than its noise."""


def lines(found: Crossings, floor: Floats | None = None) -> Lines:
    """Fit the lines. `floor`: (draws,), in units of the loss. Needs two crossings."""
    floor = np.zeros(len(found.log_compute)) if floor is None else floor
    weight = _weights(found)
    above = np.log(np.maximum(np.exp(found.log_loss) - floor[:, None], 1e-300))
    start, inverse = _line(found.log_width, found.log_compute, weight)
    level, slope = _line(found.log_width, above, weight)
    return Lines(start, inverse, level, -slope, floor)


def floor_of(found: Crossings) -> Floats:
    """(draws,): the floor of each draw's power law of the loss over width, by least squares of the log loss."""
    weight, best = _weights(found), np.full(len(found.log_loss), np.inf)
    floor = np.zeros(len(found.log_loss))
    loss = np.exp(found.log_loss)
    lowest = np.nanmin(loss, axis=1)
    for part in FLOORS:
        above = np.log(loss - part * lowest[:, None])
        level, slope = _line(found.log_width, above, weight)
        off = np.log(part * lowest[:, None] + np.exp(level[:, None] + slope[:, None] * found.log_width))
        size = np.nansum(weight * (off - found.log_loss) ** 2, axis=1)
        floor, best = np.where(size < best, part * lowest, floor), np.minimum(size, best)
    return floor


def halves(found: Crossings) -> tuple[Crossings, Crossings]:
    """The first and the second half of at least three crossings. An odd number has its middle one in both."""
    count = len(found)
    return found.chosen(range((count + 1) // 2)), found.chosen(range(count // 2, count))


def change(first: Floats, second: Floats) -> Change:
    """Compare the draws of an exponent in both halves, (draws,) each."""
    gap = second - first
    gap = gap[np.isfinite(gap)]
    sure = len(gap) > 0 and max((gap > 0).mean(), (gap < 0).mean()) >= SURE
    one, other = Estimate.of(first), Estimate.of(second)
    return Change(one, other, bool(sure and abs(other.value - one.value) > CHANGES * abs(one.value)))


def flattens(found: Change) -> bool:
    """Whether the loss falls so much more slowly in the second half that a floor is fitted."""
    return found.real and found.second.value < (1 - FLATTENS) * found.first.value


def _weights(found: Crossings) -> Floats:
    """(crossings,): inverse variances of the log compute of crossings."""
    return np.asarray(1 / np.maximum(np.nanvar(found.log_compute, axis=0), 1e-12))


def _line(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """(draws,), (draws,): intercept and slope of lines through y, (draws, n), over x, (n,). NaN for fewer than two
    points."""
    each = np.where(np.isnan(y), 0.0, weight)
    total = np.where((each > 0).sum(1) >= 2, each.sum(1), np.nan)
    y = np.nan_to_num(y)
    mean_x, mean_y = (each * x).sum(1) / total, (each * y).sum(1) / total
    off = x - mean_x[:, None]
    slope = (each * off * y).sum(1) / (each * off**2).sum(1)
    return mean_y - slope * mean_x, slope
