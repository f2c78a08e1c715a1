"""Growing lists of numbers of a run that are thinned while they grow, as arrays."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats, Point, thinned

MOST = 20_000
"""Maximum number of points of one run in memory. A longer log is thinned in log compute while it is read."""


@attrs.define(eq=False)
class Rising:
    """Rows of numbers, of which the first number rises from row to row."""

    table: NDArray[np.float64]
    """Numbers by column, with room for more rows."""
    count: int = 0
    """Number of rows."""

    @classmethod
    def of(cls, columns: NDArray[np.float64]) -> Rising:
        return cls(columns, columns.shape[1])

    @property
    def columns(self) -> NDArray[np.float64]:
        """The rows that are there: an array of shape (numbers, rows)."""
        return self.table[:, : self.count]

    def append(self, rows: NDArray[np.float64]) -> None:
        """Add rows."""
        total = self.count + rows.shape[1]
        if total > self.table.shape[1]:
            larger = np.empty((len(self.table), max(total, min(2 * total, MOST + 1))))
            larger[:, : self.count] = self.columns
            self.table = larger
        self.table[:, self.count : total] = rows
        self.count = total

    def keep(self, which: NDArray[np.intp]) -> None:
        """Keep some rows, in their order."""
        kept = self.columns[:, which]
        self.table[:, : kept.shape[1]], self.count = kept, kept.shape[1]


@attrs.define(eq=False)
class Halved:
    """Numbers by step. Of more than `MOST` of them, every second one is dropped."""

    _values: dict[float, float] = attrs.field(factory=dict)
    _packed: Rising | None = None
    """The same, instead of `_values`, in the order of steps."""

    def values(self) -> dict[float, float]:
        """Return step -> number. Changes of the result change the numbers."""
        if self._packed is not None:
            steps, numbers = self._packed.columns.tolist()
            self._values, self._packed = dict(zip(steps, numbers, strict=True)), None
        return self._values

    def put(self, step: float, number: float) -> None:
        """Set a number."""
        values = self.values()
        values[step] = number
        if len(values) > MOST:
            self._values = {at: values[at] for at in sorted(values)[::2]}

    def extend(self, steps: Floats, numbers: Floats) -> None:
        """Set numbers, in order. All are finite."""
        if not len(steps):
            return
        if self._packed is None:
            found = sorted(self._values.items())
            self._packed = Rising.of(np.array(found, float).reshape(-1, 2).T.copy())
            self._values = {}
        packed = self._packed
        if not rises(steps) or (packed.count and steps[0] <= packed.columns[0, -1]):
            for step, value in zip(steps.tolist(), numbers.tolist(), strict=True):
                self.put(step, value)
            return
        rows = np.stack((steps, numbers))
        while rows.shape[1]:
            room = MOST + 1 - packed.count
            packed.append(rows[:, :room])
            rows = rows[:, room:]
            if packed.count > MOST:
                packed.keep(np.arange(0, packed.count, 2))


@attrs.define(eq=False)
class KeptPoints:
    """The points of a run by step, or by compute for points without a step."""

    _points: dict[float, Point] = attrs.field(factory=dict)
    """In the order in which they were added."""
    _packed: Rising | None = None
    """The same, instead of `_points`: key, compute, error and step of each, NaN for no step. Keys rise, and compute
    does not fall."""

    def points(self) -> dict[float, Point]:
        """Return key -> point. Changes of the result change the points."""
        if self._packed is not None:
            rows = self._packed.columns.T.tolist()
            self._points = {
                key: Point(compute, error, None if math.isnan(step) else step) for key, compute, error, step in rows
            }
            self._packed = None
        return self._points

    @property
    def packed(self) -> bool:
        """Whether the points are in arrays, so that more points are added as arrays with little work."""
        return self._packed is not None

    def extend(self, compute: Floats, error: Floats, step: Floats | None) -> int | None:
        """Add points, and return how many points were dropped since there were too many. None, and nothing is added, if
        they do not follow those that are there, with keys that rise and compute that does not fall."""
        keys = compute if step is None else step
        fits = rises(keys) and (compute[1:] >= compute[:-1]).all()
        packed = self._followed_by(keys[0], compute[0]) if fits else None
        if packed is None:
            return None
        rows = np.stack((keys, compute, error, np.full(len(keys), np.nan) if step is None else step))
        dropped = 0
        while rows.shape[1]:
            room = MOST + 1 - packed.count
            packed.append(rows[:, :room])
            rows = rows[:, room:]
            if packed.count > MOST:
                packed.keep(thinned(packed.columns[1], MOST // 2))
                dropped += MOST + 1 - packed.count
        return dropped

    def _followed_by(self, key: float, compute: float) -> Rising | None:
        """Return the points in arrays. None if a point with this key and compute does not follow them."""
        packed = self._packed
        if packed is None:
            found = [
                (at, one.compute, one.error, math.nan if one.step is None else one.step)
                for at, one in self._points.items()
            ]
            packed = Rising.of(np.array(found, float).reshape(-1, 4).T.copy())
        keys, computes = packed.columns[:2]
        # Points that are in arrays already are in order.
        ordered = self._packed is not None or (rises(keys) and (computes[1:] >= computes[:-1]).all())
        if not ordered or (packed.count and not (keys[-1] < key and computes[-1] <= compute)):
            return None
        self._points, self._packed = {}, packed
        return packed


def rises(values: Floats) -> bool:
    """Return whether each value is above the one before."""
    return bool((values[1:] > values[:-1]).all())
