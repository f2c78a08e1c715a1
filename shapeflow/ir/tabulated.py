"""A law given as a table of points, for laws that are not power laws."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from shapeflow.ir.law import FLOOR, OFFSET, Law, Pair, Provenance

if TYPE_CHECKING:
    from shapeflow.ir.edits import Floats


@attrs.frozen
class Knots:
    """The points of a monotone cubic: log C over the logarithmic distance from the floor."""

    floor: float
    depth: tuple[float, ...]
    """-log of the error above the floor, ascending."""
    place: tuple[float, ...]
    """log of compute at each of these."""
    steepness: tuple[float, ...]
    """d place / d depth."""


@attrs.frozen
class TabulatedLaw:
    """The expected error of one shape after C FLOPs, from points (compute, error above the floor).

    Between points, log C is a monotone cubic of log(error - floor) (Fritsch and Butland, 1984), so the error falls
    everywhere and its slope has no jumps. Before the first and after the last point the law continues as a power law
    above its floor, with the slope at that point. Raises ValueError unless there are two points or more, compute and
    errors are finite and above 0, compute rises and errors fall.
    """

    floor: float
    """The error that the law approaches but never reaches."""
    compute_points: tuple[float, ...]
    """FLOPs, ascending."""
    above: tuple[float, ...]
    """The error above the floor at each of these, descending."""
    provenance: Provenance
    _place: tuple[float, ...] = attrs.field(init=False, repr=False, eq=False)
    """log of compute at each point."""
    _depth: tuple[float, ...] = attrs.field(init=False, repr=False, eq=False)
    """-log of the error above the floor."""
    _steepness: tuple[float, ...] = attrs.field(init=False, repr=False, eq=False)
    """d place / d depth."""

    def __attrs_post_init__(self) -> None:
        values = (*self.compute_points, *self.above)
        if len(self.compute_points) != len(self.above) or len(self.above) < 2:
            raise ValueError("a table of a law must have two points or more, and an error for each compute")
        if not math.isfinite(self.floor) or not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError("compute and error above the floor must be finite and above 0 in a table of a law")
        falls = itertools.pairwise(self.above)
        if any(a >= b for a, b in itertools.pairwise(self.compute_points)) or any(a <= b for a, b in falls):
            raise ValueError("compute must rise and the error fall from point to point in a table of a law")
        place = tuple(math.log(value) for value in self.compute_points)
        depth = tuple(-math.log(value) for value in self.above)
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_depth", depth)
        object.__setattr__(self, "_steepness", _slopes(depth, place))

    @property
    def plausible(self) -> bool:
        """Whether all numbers are within the range of real models."""
        return max(abs(self.floor), self.above[0]) <= FLOOR and self.compute_points[-1] <= OFFSET

    @property
    def measured(self) -> Pair:
        """The highest and the lowest error of the table: traversals switch in this range only."""
        return self.floor + self.above[0], self.floor + self.above[-1]

    @property
    def begins(self) -> float:
        """FLOPs up to which the law has no error: 0."""
        return 0.0

    @property
    def bends(self) -> tuple[float, ...]:
        """The errors of the points, descending."""
        return tuple(self.floor + value for value in self.above)

    @property
    def knots(self) -> Knots:
        return Knots(self.floor, self._depth, self._place, self._steepness)

    def error(self, compute: float) -> float:
        """The error after `compute` FLOPs; infinite at 0."""
        if compute <= 0:
            return math.inf
        return self.floor + _exp(-self._depth_at(math.log(compute)))

    def errors(self, log_compute: Floats) -> Floats:
        """(n,): `error` at n values of log compute at once."""
        import numpy as np

        place, depth, steepness = (np.array(each) for each in (self._place, self._depth, self._steepness))
        index = np.searchsorted(place, log_compute, side="right") - 1
        end = np.where(index < 0, 0, -1)
        outside = depth[end] + (log_compute - place[end]) / steepness[end]
        at = np.clip(index, 0, len(place) - 2)
        wide, begin, rise = depth[at + 1] - depth[at], place[at], place[at + 1] - place[at]
        first, last = steepness[at] * wide, steepness[at + 1] * wide
        bent, turned = 3 * rise - 2 * first - last, first + last - 2 * rise
        wanted = np.clip(log_compute, begin, begin + rise)
        low, high, t = np.zeros_like(wanted), np.ones_like(wanted), (wanted - begin) / rise
        # As in `_depth_at`, for all values in step.
        for _ in range(60):
            value = begin + t * (first + t * (bent + t * turned))
            steep = np.maximum(first + t * (2 * bent + 3 * t * turned), 1e-300)
            low, high = np.where(value < wanted, t, low), np.where(value < wanted, high, t)
            moved = t + (wanted - value) / steep
            moved = np.where((low < moved) & (moved < high), moved, 0.5 * (low + high))
            done = np.abs(moved - t) <= 1e-15
            t = np.where(done, t, moved)
            if done.all():
                break
        inside = (index >= 0) & (index < len(place) - 1)
        with np.errstate(over="ignore"):
            return np.asarray(self.floor + np.exp(-np.where(inside, depth[at] + t * wide, outside)))

    def compute(self, error: float) -> float:
        """The FLOPs at which the law reaches an error; infinite at and below the floor."""
        if error <= self.floor:
            return math.inf
        return _exp(self._at(-math.log(error - self.floor))[0])

    def slope(self, compute: float) -> float:
        """dE/dC after `compute` FLOPs, in error per FLOP; negative. Minus infinity at 0."""
        if compute <= 0:
            return -math.inf
        depth = self._depth_at(math.log(compute))
        return -_exp(-math.log(compute) - math.log(self._at(depth)[1]) - depth)

    def log_rate(self, error: float) -> float:
        """log |dC/dE| at an error: the compute per unit of error; infinite at and below the floor."""
        if error <= self.floor:
            return math.inf
        depth = -math.log(error - self.floor)
        place, steepness = self._at(depth)
        return place + math.log(steepness) + depth

    def _at(self, depth: float) -> Pair:
        """log C and its derivative by depth."""
        index = bisect.bisect_right(self._depth, depth) - 1
        if index < 0 or index >= len(self._depth) - 1:
            end = 0 if index < 0 else -1
            return self._place[end] + self._steepness[end] * (depth - self._depth[end]), self._steepness[end]
        wide = self._depth[index + 1] - self._depth[index]
        return self._cubic(index, (depth - self._depth[index]) / wide)

    def _cubic(self, index: int, t: float) -> Pair:
        """log C and its derivative by depth at the share t of the stretch after a point."""
        wide, begin, first, bent, turned = self._coefficients(index)
        value = begin + t * (first + t * (bent + t * turned))
        return value, max((first + t * (2 * bent + 3 * t * turned)) / wide, 1e-300)

    def _coefficients(self, index: int) -> tuple[float, float, float, float, float]:
        """The width of the stretch after a point, and its cubic: log C and its powers of the share t."""
        wide = self._depth[index + 1] - self._depth[index]
        begin, rise = self._place[index], self._place[index + 1] - self._place[index]
        first, last = self._steepness[index] * wide, self._steepness[index + 1] * wide
        return wide, begin, first, 3 * rise - 2 * first - last, first + last - 2 * rise

    def _depth_at(self, place: float) -> float:
        """The inverse of `_at`: Newton's iteration, kept inside a bracket that shrinks."""
        index = bisect.bisect_right(self._place, place) - 1
        if index < 0 or index >= len(self._place) - 1:
            end = 0 if index < 0 else -1
            return self._depth[end] + (place - self._place[end]) / self._steepness[end]
        wide, begin, first, bent, turned = self._coefficients(index)
        low, high = 0.0, 1.0
        t = (place - begin) / (self._place[index + 1] - begin)
        for _ in range(60):
            # As in `_cubic`. Intervals ask for many thousand errors, and a call for each step takes most of the time.
            value = begin + t * (first + t * (bent + t * turned))
            steepness = max((first + t * (2 * bent + 3 * t * turned)) / wide, 1e-300)
            low, high = (t, high) if value < place else (low, t)
            moved = t + (place - value) / (steepness * wide)
            moved = moved if low < moved < high else 0.5 * (low + high)
            if abs(moved - t) <= 1e-15:
                break
            t = moved
        return self._depth[index] + t * wide


AnyLaw = Law | TabulatedLaw
"""A law of either form. Code that only asks for errors and compute takes any."""


def _slopes(x: Sequence[float], y: Sequence[float]) -> tuple[float, ...]:
    """dy/dx at each point such that the cubics between them rise: weighted harmonic means of the secants."""
    wide = [b - a for a, b in itertools.pairwise(x)]
    secant = [(b - a) / w for (a, b), w in zip(itertools.pairwise(y), wide, strict=True)]
    inner = [
        3 * (w1 + w2) / ((2 * w2 + w1) / s1 + (w2 + 2 * w1) / s2)
        for (w1, w2), (s1, s2) in zip(itertools.pairwise(wide), itertools.pairwise(secant), strict=True)
    ]
    return (_end(wide, secant), *inner, _end(wide[::-1], secant[::-1]))


def _end(wide: Sequence[float], secant: Sequence[float]) -> float:
    """The slope at an end: that of a parabola through three points, within the limits of monotony."""
    if len(secant) == 1:
        return secant[0]
    slope = secant[0] + (secant[0] - secant[1]) * wide[0] / (wide[0] + wide[1])
    return min(max(slope, secant[0] / 3), 3 * secant[0])


def _exp(power: float) -> float:
    return math.exp(power) if power < 709 else math.inf
