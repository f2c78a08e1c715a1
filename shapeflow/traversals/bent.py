"""The rates of laws that are tables of points, for many laws and errors at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.route import Curve

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@attrs.frozen(eq=False)
class Bent:
    """The tables, one a row; shorter ones are filled up at the end."""

    row: Places
    """(laws,): the row of each law; -1 for a power law."""
    count: Places
    """(rows,): points of each table."""
    floor: Floats
    """(rows,)"""
    depth: Floats
    """(rows, points): -log of the error above the floor, ascending; infinite where a table has ended."""
    place: Floats
    """(rows, points): log of compute in the law's unit."""
    steepness: Floats
    """(rows, points): d place / d depth."""

    @classmethod
    def of(cls, laws: Sequence[Curve]) -> Bent:
        tables = [(law, knots) for law, curve in enumerate(laws) if (knots := curve.knots) is not None]
        row = np.full(len(laws), -1, dtype=np.intp)
        row[[law for law, _ in tables]] = np.arange(len(tables))
        count = np.array([len(knots.depth) for _, knots in tables], dtype=np.intp)
        shape = len(tables), int(count.max(initial=0))
        depth, place, steepness = np.full(shape, np.inf), np.zeros(shape), np.ones(shape)
        for number, (_, knots) in enumerate(tables):
            points = slice(0, len(knots.depth))
            depth[number, points], place[number, points] = knots.depth, knots.place
            steepness[number, points] = knots.steepness
        return cls(row, count, np.array([knots.floor for _, knots in tables]), depth, place, steepness)

    def __bool__(self) -> bool:
        return len(self.count) > 0

    def rate(self, row: Places, error: Floats) -> Floats:
        """log |dC/dE| of tables at errors, elementwise (n,): `TabulatedLaw.log_rate`; infinite at and below the
        floor."""
        depth = self._depth(row, error)
        return self._at(row, depth, self._index(row, depth), error)

    def rates(self, row: int, error: Floats) -> Floats:
        """(n,): the same, of one table."""
        depth, points = self._depth(row, error), self.depth[row, : self.count[row]]
        return self._at(row, depth, np.searchsorted(points, depth, side="right") - 1, error)

    def _depth(self, row: Places | int, error: Floats) -> Floats:
        """-log of errors above the floor; 0 at and below it."""
        above = error - self.floor[row]
        return np.asarray(-np.log(np.where(above > 0, above, 1.0)))

    def _at(self, row: Places | int, depth: Floats, index: Places, error: Floats) -> Floats:
        """The rates at depths after the points of an index."""
        last = self.count[row] - 1
        at = np.clip(index, 0, last - 1)
        wide = self.depth[row, at + 1] - self.depth[row, at]
        begin = self.place[row, at]
        rise = self.place[row, at + 1] - begin
        first, end = self.steepness[row, at] * wide, self.steepness[row, at + 1] * wide
        bent, turned = 3 * rise - 2 * first - end, first + end - 2 * rise
        t = (depth - self.depth[row, at]) / wide
        place = begin + t * (first + t * (bent + t * turned))
        steepness = np.maximum((first + t * (2 * bent + 3 * t * turned)) / wide, 1e-300)
        # Beyond its points, a law goes on as a power law.
        beyond = np.where(index < 0, 0, last)
        outside = (index < 0) | (index >= last)
        steepness = np.where(outside, self.steepness[row, beyond], steepness)
        straight = self.place[row, beyond] + steepness * (depth - self.depth[row, beyond])
        return np.where(error > self.floor[row], np.where(outside, straight, place) + np.log(steepness) + depth, np.inf)

    def _index(self, row: Places, depth: Floats) -> Places:
        """(n,): the last point at or above each error; -1 if there is none. A bisection of all at once."""
        low, high = np.zeros_like(row), self.count[row]
        for _ in range(math.frexp(self.depth.shape[1])[1]):
            middle = (low + high) // 2
            passed = (low < high) & (self.depth[row, np.minimum(middle, self.depth.shape[1] - 1)] <= depth)
            low, high = np.where(passed, middle + 1, low), np.where(passed, high, middle)
        return low - 1
