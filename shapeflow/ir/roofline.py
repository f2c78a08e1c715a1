"""The seconds of a step as a function of its FLOPs, for shapes whose steps were not timed."""

from __future__ import annotations

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
    `ENOUGH` points."""
    if len(points) < ENOUGH:
        return None
    off = 0.0
    for number, (compute, seconds) in enumerate(points):
        overhead, per_flop = _line([*points[:number], *points[number + 1 :]])
        off = max(off, abs((overhead + per_flop * compute) / seconds - 1))
    return Roofline(*_line(points), off)


def _line(points: Sequence[Point]) -> tuple[float, float]:
    """Overhead and seconds per FLOP. With both terms divided by the measured seconds, each point should be 1."""
    scale = max(compute for compute, _ in points)
    pairs = [(1 / seconds, compute / scale / seconds) for compute, seconds in points]
    (aa, ab, bb), (a, b) = _sums(pairs), (sum(x for x, _ in pairs), sum(y for _, y in pairs))
    determinant = aa * bb - ab * ab
    # Points with the same FLOPs do not separate the overhead from the time of a FLOP.
    if determinant > 1e-12 * aa * bb:
        overhead, slope = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
        if overhead >= 0 and slope >= 0:
            return overhead, slope / scale
        if slope < 0:
            return a / aa, 0.0
    return 0.0, b / bb / scale


def _sums(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    return sum(x * x for x, _ in pairs), sum(x * y for x, y in pairs), sum(y * y for _, y in pairs)
