"""Computes where laws cross, and the cheapest route along them.

The rate of a power law is log |dC/dE| = k - s log(E - c): a straight line in log(E - c), with s = 1/b + 1. The
difference of two rates has one stationary point, so two rates cross at most twice, each time in a known bracket, and
all crossings are found without a grid. Other laws state `bends`: errors between which two rates cross at most once.
These are then the brackets. On a cheapest route,
every switch is at the start or at such a crossing, since moving it in either direction costs more. A credit shifts the
crossing of its pair by log eta. A search over crossings is therefore exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.route import Curve
from shapeflow.traversals.bent import Bent

Floats = NDArray[np.float64]
TIE = 1e-12
"""Rates (in log) and totals (relative) that differ by less count as equal. Of equal routes, the one with fewer stages
wins."""
CELLS, MARGIN = 128, 1e-9
"""Cells between the start and the target in which `lowest` compares rates, and by how much a rate is above another."""
FEW = 64
"""At most this number of laws are all compared with each other."""
BLOCK = 1 << 18
"""Pairs of laws that are compared at once: it bounds the memory."""
HAIR = 1e-13
"""Where a bracket begins, as a share of it: at a floor the rates of both laws may be infinite."""


@attrs.frozen
class Crossing:
    """The error at which two laws cross. Above it, `upper` is cheaper per unit of error; below it, `lower` is."""

    error: float
    upper: int
    lower: int


@attrs.frozen
class Stretch:
    """A part of a route along one law, given by its index."""

    law: int
    first: float
    """The error where it begins."""
    last: float
    """The error where it ends, below the first."""
    compute: float
    """FLOPs from the first to the last error along the law."""


@attrs.frozen(eq=False)
class Lines:
    """The rates of laws. Those of power laws are log |dC/dE| = k - s log(E - c)."""

    k: Floats
    s: Floats
    c: Floats
    bent: Bent
    """The laws that are not power laws. Their k and s are not used."""
    bends: tuple[float, ...] = ()
    """The errors between which the rates of two laws cross at most once, if one of them is bent."""

    @classmethod
    def of(cls, laws: Sequence[Curve]) -> Lines:
        """Compute the lines from two points of each law, far enough above its floor to avoid cancellation."""
        c = np.array([law.floor for law in laws])
        near, far = 1.0 + np.abs(c), 16.0 * (1.0 + np.abs(c))
        at_near = np.array([law.log_rate(float(e)) for law, e in zip(laws, c + near, strict=True)])
        at_far = np.array([law.log_rate(float(e)) for law, e in zip(laws, c + far, strict=True)])
        s = (at_near - at_far) / np.log(far / near)
        bends = tuple({error for law in laws for error in law.bends})
        return cls(at_near + s * np.log(near), s, c, Bent.of(laws), bends)

    def rate(self, law: NDArray[np.intp] | slice, error: Floats) -> Floats:
        """log |dC/dE| of laws at errors, elementwise; infinite at and below the floor."""
        above = error - self.c[law]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.where(above > 0, self.k[law] - self.s[law] * np.log(np.maximum(above, 0.0)), np.inf)
        if self.bent:
            rows = np.broadcast_to(self.bent.row[law], rates.shape)
            asked = rows >= 0
            rates[asked] = self.bent.rate(rows[asked], np.broadcast_to(error, rates.shape)[asked])
        return rates

    @property
    def plain(self) -> bool:
        """Whether all laws are power laws, with finite numbers."""
        return not self.bent and bool(np.isfinite((self.k, self.s, self.c)).all() and (self.s > 1).all())

    def rates(self, error: Floats) -> Iterator[Floats]:
        """The rate of each law at some errors."""
        for law, row in enumerate(self.bent.row.tolist()):
            yield self.rate(np.array([law]), error) if row < 0 else self.bent.rates(row, error)

    def brackets(self, start: float, low: float) -> Floats:
        """Errors, ascending, between which the rates of two laws cross at most once, if one of them is bent."""
        inner = {error for error in self.bends if low < error < start}
        inner |= {floor for floor in self.c.tolist() if low < floor < start}
        return np.array(sorted({low, *inner, start}))


def lowest(lines: Lines, start: float, target: float) -> Iterator[NDArray[np.intp]]:
    """For each of some cells between the start and the target, the power laws whose rate may be the least there: all
    but those that another law beats all over the cell, with a margin."""
    floor = min(float(lines.c.min()), target)
    heights = np.geomspace(start - floor, max(target - floor, HAIR * (start - floor)), CELLS + 1)
    for left, right in pairwise((floor + heights).tolist()):
        places = [lines.rate(slice(None), np.array(error)) for error in (left, 0.5 * (left + right), right)]
        inside = np.isfinite(places[0])
        for rival in {int(rates.argmin()) for rates in places if np.isfinite(rates.min())}:
            inside &= ~_beaten(lines, rival, left, right)
        yield np.flatnonzero(inside)


def _beaten(lines: Lines, rival: int, left: float, right: float) -> NDArray[np.bool_]:
    """The power laws whose rate is above that of a rival, by a margin, from one error to a lower one. The difference
    of two rates has one stationary point."""

    def above(error: Floats | float) -> NDArray[np.bool_]:
        at = np.broadcast_to(np.asarray(error), lines.c.shape)
        with np.errstate(invalid="ignore"):
            gap = lines.rate(slice(None), at) - lines.rate(np.full(at.shape, rival), at)
        return np.asarray(gap > MARGIN, dtype=bool)

    s, c = lines.s, lines.c
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = (s * c[rival] - s[rival] * c) / (s - s[rival])
    within = (turn > right) & (turn < left)
    return np.asarray(above(left) & above(right) & (~within | above(np.where(within, turn, left))), dtype=bool)


def crossings(
    laws: Sequence[Curve], start: float, target: float | None = None, ease: Floats | None = None
) -> list[Crossing]:
    """All errors strictly between the target (or the floors) and the start at which a switch may reduce the cost, in
    descending order.

    `ease[p, q]`: log of the weight of a unit of error in q for a switch from p to q, relative to one in p; 0 if the
    switch is free. With a credit eta it is log eta, since the switch then costs (1 - eta) of the compute that q needs
    from scratch to this error: the derivative of the total is 0 where rate_p = eta rate_q.
    """
    lines = Lines.of(laws)
    found: list[Crossing] = []
    for p, q in _pairs(len(laws)):
        found += _crossings(lines, (p, q, np.zeros(len(p)) if ease is None else ease[p, q]), start, target)
    return sorted((one for one in found if one.error < start), key=lambda one: (-one.error, one.upper, one.lower))


Pairs = tuple[NDArray[np.intp], NDArray[np.intp], Floats]
"""Upper laws, lower laws, and the shift of each pair."""


def _crossings(lines: Lines, pairs: Pairs, start: float, target: float | None) -> list[Crossing]:
    p, q, shift = pairs
    bent = (lines.bent.row[p] >= 0) | (lines.bent.row[q] >= 0)
    found = _of_straight(lines, (p[~bent], q[~bent], shift[~bent]), start, target)
    return found + (_of_bent(lines, (p[bent], q[bent], shift[bent]), start, target) if lines.bent else [])


def _of_straight(lines: Lines, pairs: Pairs, start: float, target: float | None) -> list[Crossing]:
    """The crossings of pairs of power laws."""
    p, q, _ = pairs
    low = np.maximum(lines.c[p], lines.c[q])
    low = low if target is None else np.maximum(low, target)
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = (lines.s[p] * lines.c[q] - lines.s[q] * lines.c[p]) / (lines.s[p] - lines.s[q])
    turn = np.where((turn > low) & (turn < start), turn, start)
    return _between(lines, pairs, low, turn) + _between(lines, pairs, turn, np.full(len(p), start))


def _of_bent(lines: Lines, pairs: Pairs, start: float, target: float | None) -> list[Crossing]:
    """The crossings of pairs in which a law is not a power law."""
    edges = lines.brackets(start, float(lines.c.min()) if target is None else target)
    left, right = edges[:-1] + np.diff(edges) * HAIR, edges[1:]
    at_left, at_right = (np.array(list(lines.rates(at))) for at in (left, right))
    taken: list[tuple[int, int]] = []
    for number, (p, q, shift) in enumerate(zip(*pairs, strict=True)):
        with np.errstate(invalid="ignore"):
            inside = (at_left[p] - at_left[q] > shift) & (at_right[p] - at_right[q] < shift)
        taken += [(number, cell) for cell in np.flatnonzero(inside).tolist()]
    which, cells = np.array(taken, dtype=np.intp).reshape(-1, 2).T
    p, q, shift = pairs
    return _between(lines, (p[which], q[which], shift[which]), left[cells], right[cells])


def openings(laws: Sequence[Curve], start: float, ease: Floats | None = None) -> list[Crossing]:
    """Switches at the start: training begins in the upper law, and the lower law is cheaper from there on."""
    lines, found = Lines.of(laws), list[Crossing]()
    for p, q in _pairs(len(laws)):
        at, shift = np.full(len(p), start), np.zeros(len(p)) if ease is None else ease[p, q]
        with np.errstate(invalid="ignore"):
            cheaper = lines.rate(p, at) - lines.rate(q, at) > shift
        cheaper &= (lines.c[p] < start) & (lines.c[q] < start)
        found += [Crossing(start, int(u), int(w)) for u, w in zip(p[cheaper], q[cheaper], strict=True)]
    return found


def _pairs(count: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """All pairs of two different laws, in blocks of about `BLOCK`."""
    rows = max(1, BLOCK // max(count, 1))
    for first in range(0, count, rows):
        p, q = np.divmod(np.arange(first * count, min(first + rows, count) * count, dtype=np.intp), count)
        yield p[p != q], q[p != q]


def _between(lines: Lines, pairs: Pairs, left: Floats, right: Floats) -> list[Crossing]:
    """The crossings from p above to q below, in brackets with at most one crossing each."""
    p, q, shift = pairs
    left = np.where(left < right, left + (right - left) * HAIR, left)

    def gap(error: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return lines.rate(p, error) - lines.rate(q, error) - shift

    inside = (left < right) & (gap(left) > 0) & (gap(right) < 0)
    p, q, shift, left, right = p[inside], q[inside], shift[inside], left[inside], right[inside]
    for _ in range(200):
        middle = 0.5 * (left + right)
        same = gap(middle) > 0
        done = (middle <= left) | (middle >= right)
        if done.all():
            break
        left, right = np.where(same & ~done, middle, left), np.where(same | done, right, middle)
    error = 0.5 * (left + right)
    return [Crossing(float(e), int(u), int(w)) for e, u, w in zip(error, p, q, strict=True)]


def greedy(laws: Sequence[Curve], start: float, target: float) -> list[Stretch]:
    """The lower envelope of the rates over (target, start] (paper A, eq. 2): at every error the law with the greatest
    dC/dE. If switches are free in both directions, no route from the start to the target is cheaper. On a tie, the
    current law is kept; at the start, the law that reaches the start with less compute is used.

    Raises ValueError if no law passes the target.
    """
    lines = Lines.of(laws)
    if len(laws) > FEW and lines.plain:
        few = list(lowest(lines, start, target))
        kept = np.unique(np.concatenate(few)).tolist()
        pairs = np.unique(np.concatenate([_both(one) for one in few]), axis=0).T
        met = _crossings(lines, (*pairs, np.zeros(pairs.shape[1])), start, target)
    else:
        kept, met = list(range(len(laws))), crossings(laws, start, target)
    cuts = {start, target, *(one.error for one in met if one.error < start)}
    cuts |= {laws[law].floor for law in kept if target < laws[law].floor < start}
    edges = np.array(sorted(cuts, reverse=True))
    middles = 0.5 * (edges[:-1] + edges[1:])
    ways: list[tuple[int, float, float]] = []
    for middle, (first, last) in zip(middles, pairwise(edges.tolist()), strict=True):
        at = lines.rate(np.array(kept, dtype=np.intp), middle)
        if not np.isfinite(at.min()):
            raise ValueError(f"no law passes error {last:g}")
        tied = [kept[place] for place in np.flatnonzero(at <= at.min() + TIE).tolist()]
        if ways and ways[-1][0] in tied:
            ways[-1] = (ways[-1][0], ways[-1][1], last)
        else:
            ways.append((min(tied, key=lambda law: (entry(laws[law], start), law)), first, last))
    return [Stretch(law, first, last, along(laws[law], first, last)) for law, first, last in ways]


def _both(laws: NDArray[np.intp]) -> NDArray[np.intp]:
    """All pairs of some laws, one a row."""
    return np.stack(np.meshgrid(laws, laws), axis=-1).reshape(-1, 2)


def along(law: Curve, first: float, last: float) -> float:
    """FLOPs along a law from one error down to another. Errors above that at compute 0 cost nothing."""
    return entry(law, last) - entry(law, first)


def entry(law: Curve, error: float) -> float:
    """FLOPs that a law needs from scratch to an error; 0 if the law starts below the error."""
    return max(0.0, law.compute(error))


def total(laws: Sequence[Curve], way: Sequence[Stretch]) -> float:
    """FLOPs of a route with free switches, counted from scratch."""
    return entry(laws[way[0].law], way[0].first) + math.fsum(stretch.compute for stretch in way)
