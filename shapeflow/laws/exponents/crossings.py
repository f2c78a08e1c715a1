"""The compute at which two neighbouring widths have the same loss: there, the best width changes.

If the loss is C^-eta g(width / C^xi), the curves of widths d and q d cross at a fixed width / C^xi. For widths that are
evenly spaced in log width, crossings therefore have the exponents of the best width and of its loss exactly, without
interpolating between widths. The width of a crossing is the geometric mean of both.

Crossings are found twice: roughly on the measured points, then on draws of whole curves (`laws/fitting/posterior.py`)
that are fitted to the points near the rough crossings. Draws contain the noise, the form of the curve, and how much
runs of one width differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.laws.exponents.family import Family, Member
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.fitting.posterior import Draws, posterior
from shapeflow.laws.logs.points import Floats, Point

RUNS_DIFFER = 0.04
"""How much two runs of a width differ in compute at equal loss, as far as several runs do not show it. As in `fit`."""
NEAR = np.log(8.0)
"""A curve is fitted to its points within this log compute of its crossings."""
ENOUGH = 12
"""Points of a run that are used even if fewer are near."""
FINE = 0.02
"""Spacing in log compute at which curves are compared."""
MISSING = 0.05
"""A crossing that more of the draws lack is not used."""
LARGEST = np.log(10.0)
"""Neither is one whose log compute has a larger standard deviation."""


@attrs.frozen(eq=False)
class Crossings:
    """The crossings of neighbouring widths, in order of width."""

    widths: tuple[tuple[int, int], ...]
    log_compute: Floats
    log_loss: Floats
    """(draws, crossings); NaN where a draw does not cross."""

    @property
    def log_width(self) -> Floats:
        """(crossings,): log of the geometric mean of both widths."""
        return np.asarray(np.log(np.array(self.widths, float)).mean(axis=1))

    def __len__(self) -> int:
        return len(self.widths)

    def chosen(self, which: Sequence[int]) -> Crossings:
        """Some of the crossings."""
        kept = list(which)
        return Crossings(tuple(self.widths[one] for one in kept), self.log_compute[:, kept], self.log_loss[:, kept])


def crossings_of(family: Family) -> Crossings:
    """Return the crossings, empty if there are none. A width that is never the best one is left out."""
    rough = _rough(family.members)
    if not rough:
        return Crossings((), np.empty((0, 0)), np.empty((0, 0)))
    members = [one for one in family.members if any(one.width in pair for pair in rough)]
    drawn = _draws(members, rough)
    pairs = tuple(pair for pair in rough if set(pair) <= set(drawn))
    found = [_drawn_crossing(drawn[narrow], drawn[wide]) for narrow, wide in pairs]
    if not found:
        return Crossings((), np.empty((0, 0)), np.empty((0, 0)))
    compute, loss = (np.stack(each, axis=1) for each in zip(*found, strict=True))
    clear = [
        index
        for index in range(len(pairs))
        if np.isnan(compute[:, index]).mean() <= MISSING and np.nanstd(compute[:, index]) <= LARGEST
    ]
    return Crossings(pairs, compute, loss).chosen(clear)


def difference(narrow: Member, wide: Member) -> tuple[Floats, Floats]:
    """(n,), (n,): log compute over the range that two curves share, and log loss of the wider minus the narrower."""
    x = _shared(narrow.log_compute, wide.log_compute)
    return x, np.interp(x, wide.log_compute, wide.log_loss) - np.interp(x, narrow.log_compute, narrow.log_loss)


def crossing(x: Floats, gap: Floats) -> float | None:
    """The place where a gap changes from above 0 to below; None if it does not. Of several such places, as noise makes
    them, the one that leaves most of the gap above 0 before it and below 0 after it."""
    if len(x) < 2:
        return None
    last = int(np.argmax(np.concatenate([[0.0], np.cumsum(gap)])))
    if not 0 < last < len(gap):
        return None
    before, after = gap[last - 1], gap[last]
    return float(x[last - 1] + (x[last] - x[last - 1]) * before / (before - after)) if before > after else None


def _shared(one: Floats, other: Floats) -> Floats:
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    return np.arange(low, high, FINE)


def _rough(members: Sequence[Member]) -> dict[tuple[int, int], float]:
    """Pair of neighbouring widths -> log compute of their crossing on the measured points, ascending."""
    kept = list(members)
    while True:
        places = [(a, b, crossing(*difference(a, b))) for a, b in pairwise(kept)]
        known = [(a, b, place) for a, b, place in places if place is not None]
        # If a wider pair crosses first, the width between the two pairs is never the best.
        lost = [a for (_, _, first), (a, _, then) in pairwise(known) if then <= first]
        if not lost:
            return {(a.width, b.width): place for a, b, place in known}
        kept.remove(lost[0])


def _draws(members: Sequence[Member], rough: dict[tuple[int, int], float]) -> dict[int, Draws]:
    """Width -> draws of its curve near its crossings."""
    curves = {}
    for one in members:
        near = [place for pair, place in rough.items() if one.width in pair]
        runs = [_near(run, min(near) - NEAR, max(near) + NEAR) for run in one.runs]
        curve = measured_curve(runs)
        if curve is not None:
            curves[Shape.of({"width": one.width})] = curve
    return {shape.number("width"): one for shape, one in posterior(curves, RUNS_DIFFER).curves.items()}


def _near(run: Sequence[Point], low: float, high: float) -> list[Point]:
    """The points of a run between two log computes; if these are few, also those nearest to them."""
    x = np.log([point.compute for point in run])
    off = np.maximum(np.maximum(low - x, x - high), 0.0)
    count = max(int((off == 0).sum()), min(ENOUGH, len(run)))
    return [run[index] for index in sorted(np.argsort(off, kind="stable")[:count].tolist())]


def _drawn_crossing(narrow: Draws, wide: Draws) -> tuple[Floats, Floats]:
    """(draws,), (draws,): log compute and log loss of the crossing in each draw; NaN where there is none."""
    x = np.arange(max(narrow.first, wide.first), min(narrow.last, wide.last), FINE)
    places = narrow.places(narrow.runs), wide.places(wide.runs)
    compute, loss = np.full(len(places[0]), np.nan), np.full(len(places[0]), np.nan)
    for index in range(len(compute)):
        one = np.interp(x, places[0][index], narrow.log_error[index])
        other = np.interp(x, places[1][index], wide.log_error[index])
        place = crossing(x, other - one)
        if place is not None:
            compute[index], loss[index] = place, np.interp(place, x, one)
    return compute, loss
