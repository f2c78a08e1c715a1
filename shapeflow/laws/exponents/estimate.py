"""A number with its interval."""

from __future__ import annotations

import attrs
import numpy as np

from shapeflow.ir.quantiles import quantiles
from shapeflow.laws.logs.points import Floats

LEVEL = 0.9
"""The part of all draws that an interval contains."""


@attrs.frozen
class Estimate:
    """The median of draws, and the interval that contains 90% of them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Estimate:
        """Of draws, (n,); those that are NaN do not count. NaN if all are."""
        known = draws[~np.isnan(draws)]
        if not len(known):
            return cls(np.nan, np.nan, np.nan)
        tail = (1 - LEVEL) / 2
        low, value, high = quantiles(known, [tail, 0.5, 1 - tail]).tolist()
        return cls(value, low, high)

    @property
    def wide(self) -> float:
        """The length of the interval."""
        return self.high - self.low

    def times(self, factor: float) -> Estimate:
        """The estimate of a multiple."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, low, high)
