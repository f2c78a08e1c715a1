"""The seconds of a step as a function of its FLOPs, for shapes whose steps were not timed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

ENOUGH = 3
"""Least number of shapes with known seconds that a line is fitted to."""

Point = tuple[float, float]
"""FLOPs and seconds of a step."""


@attrs.frozen
class Roofline:
    """Seconds of a step: an overhead, and a time for each FLOP."""

    overhead: float
    per_flop: float
    off: float
    """The largest relative error if the seconds of each known shape are predicted by the others."""

    def seconds(self, compute: float) -> float:
        return self.overhead + self.per_flop * compute


def roofline(points: Sequence[Point]) -> Roofline | None:
    """The line with the least sum of squared relative errors, neither of whose terms is negative. None for fewer than
    `ENOUGH` points. Takes linear time in the points."""
    if len(points) < ENOUGH:
        return None
    scale = max(compute for compute, _ in points)
    terms = [_sums(compute / scale, seconds) for compute, seconds in points]
    # The sums over all other points, without a difference of sums: a point may outweigh all others by far.
    before = list(itertools.accumulate(terms, _added, initial=_NONE))
    after = list(itertools.accumulate(reversed(terms), _added, initial=_NONE))[::-1]
    off = 0.0
    for number, (compute, seconds) in enumerate(points):
        overhead, slope = _line(_added(before[number], after[number + 1]))
        off = max(off, abs((overhead + slope * compute / scale) / seconds - 1))
    overhead, slope = _line(before[-1])
    return Roofline(overhead, slope / scale, off)


_Sums = tuple[float, float, float, float, float]
_NONE: _Sums = (0.0, 0.0, 0.0, 0.0, 0.0)


def _sums(compute: float, seconds: float) -> _Sums:
    """What a point adds to the normal equations. With both terms divided by the measured seconds, each point should be
    1."""
    x, y = 1 / seconds, compute / seconds
    return x * x, x * y, y * y, x, y


def _added(one: _Sums, other: _Sums) -> _Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]


def _line(sums: _Sums) -> tuple[float, float]:
    """Overhead, and seconds per unit of compute."""
    aa, ab, bb, a, b = sums
    determinant = aa * bb - ab * ab
    # Points with the same FLOPs do not separate the overhead from the time of a FLOP.
    if determinant > 1e-12 * aa * bb:
        overhead, slope = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
        if overhead >= 0 and slope >= 0:
            return overhead, slope
        if slope < 0:
            return a / aa, 0.0
    # FLOPs of these points may be nothing to those of the largest.
    return (0.0, b / bb) if bb else (a / aa, 0.0)
