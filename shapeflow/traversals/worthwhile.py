"""Leaves out candidates that no cheapest plan uses, by bounds on the cost of every plan through each of them.

A search over all crossings takes time and memory that grow with the square of the candidates. The bounds take time in
proportion to them. From the start to the end, errors are cut into cells. At each edge of a cell, for each law:

- F is a lower bound on the compute to this edge in this law;
- U is the compute of some plan that gets there, so that a plan which took more is not the cheapest;
- A is an upper bound on the compute that a plan may have taken here, if it is to stay below every U that follows and
  below the cost of a plan that was found.

Within a cell a plan stays in its law, at a known cost, or switches. The rate of a power law is convex in the error, so
it is at least its tangent at the middle of the cell; the least of several straight lines is concave, so its integral is
at least that of the trapezoid over the cell. A candidate is left out only where F is above A all the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.traversals.envelope import Floats, Lines
from shapeflow.traversals.order import Order

Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

ROUNDS = ((256, 0), (1024, 0), (1024, 1))
"""Cells between the start and the end, and how often a cell is cut again, in each round. More cells leave out more
candidates."""
ROOM = 1 << 21
"""Cells times candidates, in a round: it bounds the memory."""
PARTS = 8
"""A cell in which laws may be used that are not used at its edges is cut into this number."""
MOST = 1e300
"""More compute than a law is asked for, so that a product with 0 stays 0."""
SLACK = 1e-9
"""Relative difference of two costs that rounding may cause."""


@attrs.frozen(eq=False)
class Terms:
    """The terms on which plans switch."""

    least: float
    """The least part of a law's compute from scratch that a switch to it costs."""
    most: float
    """The most that a switch costs, which the order allows, at every error and after every length of stage. Infinite if
    there are other rules."""
    lasting: bool
    """Whether a longer stage never makes the plan dearer."""
    shortest: Floats
    """The minimum FLOPs of a stage in each law."""
    competing: bool
    """Whether a plan would leave out a stage whose law falls no faster than the law before it: if switches are free."""


@attrs.frozen
class Ends:
    """Where the plan that was found begins and ends."""

    start: float
    error: float
    total: float
    """FLOPs."""
    on_target: bool


@attrs.frozen(eq=False)
class Curves:
    """Power laws: compute and rates of all laws at one error."""

    lines: Lines
    offset: Floats
    """What is added to the integral of a law's rate to get its compute."""

    @classmethod
    def of(cls, lines: Lines, start: float, begin: Floats) -> Curves:
        """`begin`: compute of each law at the start; may be negative, or infinite."""
        bare = cls(lines, np.zeros(len(begin)))
        with np.errstate(invalid="ignore"):
            return cls(lines, np.where(lines.c < start, begin - bare.compute(start), 0.0))

    def only(self, kept: Places) -> Curves:
        lines = self.lines
        return Curves(Lines(lines.k[kept], lines.s[kept], lines.c[kept], {}), self.offset[kept])

    def compute(self, error: float) -> Floats:
        """Compute of each law at an error; infinite at and below the floor."""
        with np.errstate(over="ignore"):
            bare = np.exp(self.lines.k + (1 - self.lines.s) * self._height(error)) / (self.lines.s - 1)
        return np.where(error > self.lines.c, bare + self.offset, np.inf)

    def entry(self, error: float) -> Floats:
        return np.maximum(self.compute(error), 0.0)

    def rate(self, error: float) -> Floats:
        """Compute per unit of error; infinite at and below the floor."""
        with np.errstate(over="ignore"):
            rates = np.exp(self.lines.k - self.lines.s * self._height(error))
        return np.where(error > self.lines.c, rates, np.inf)

    def _height(self, error: float) -> Floats:
        """The logarithm of the distance from the floor; 0 at and below it."""
        height: Floats = np.log(np.where(error > self.lines.c, error - self.lines.c, 1.0))
        return height


@attrs.frozen(eq=False)
class Cell:
    """What laws cost between two errors."""

    first: Floats
    """Compute from scratch to the upper error."""
    price: Floats
    """The least that a switch to a law costs; infinite where the upper error is not above its floor."""
    whole: Floats
    """Compute from the upper to the lower error."""
    left: Floats
    """Half the width, times a lower bound on the rate: a straight line through the cell, at its upper end."""
    right: Floats
    """The same at its lower end."""

    @classmethod
    def of(cls, curves: Curves, price: float, upper: float, lower: float) -> Cell:
        """`price`: the least part of a law's compute from scratch that a switch to it costs."""
        first, last, width = curves.entry(upper), curves.entry(lower), upper - lower
        middle = 0.5 * (upper + lower)
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.where(np.isfinite(first), last - first, np.inf)
            rate, tilt = curves.rate(middle), curves.lines.s / (middle - curves.lines.c) * (width / 2)
            left, right = rate * (1 - tilt), rate * (1 + tilt)
        steep = ~np.isfinite(last) | ~np.isfinite(left)
        left, right = np.where(steep, curves.rate(upper), left), np.where(steep, curves.rate(upper), right)
        # Errors above that at compute 0 cost nothing.
        free = curves.compute(upper) <= 0
        left, right = (np.where(free, 0.0, np.maximum(line, 0.0)) * (width / 2) for line in (left, right))
        paid = np.where(np.isfinite(first), price * np.minimum(first, MOST), np.inf)
        return cls(first, paid, whole, left, right)


@attrs.frozen(eq=False)
class Field:
    """Laws, their order, and the terms on which plans switch between them."""

    curves: Curves
    order: Order
    terms: Terms

    def only(self, kept: Places) -> Field:
        terms = attrs.evolve(self.terms, shortest=self.terms.shortest[kept])
        return Field(self.curves.only(kept), self.order.only(kept), terms)

    def cell(self, upper: float, lower: float) -> Cell:
        return Cell.of(self.curves, self.terms.least, upper, lower)

    def forth(self, cell: Cell, least: Floats) -> Floats:
        """F at the lower edge of a cell, from F at its upper edge."""
        order, leave = self.order, np.maximum(least, self.terms.shortest * (1 - SLACK))
        moved = np.minimum(
            order.below(leave, strictly=True) + cell.left, order.below(order.below(leave) + cell.left, strictly=True)
        )
        return np.minimum(least + cell.whole, moved + order.below(cell.right) + cell.price)

    def found(self, cell: Cell, known: Floats, lower: float) -> Floats:
        """U at the lower edge of a cell, from U at its upper edge: a plan that switches at the edge or not at all."""
        ways = np.minimum(known + cell.whole, self.curves.entry(lower))
        if not math.isfinite(self.terms.most):
            return ways
        price = self.terms.most * np.minimum(cell.first, MOST)
        return np.minimum(ways, self.order.below(known, strictly=True) + price + cell.whole)

    def back(self, cell: Cell, most: Floats, total: float) -> Floats:
        """A at the upper edge of a cell, from A at its lower edge."""
        order, paid = self.order, self.paid(cell, most, total)
        moved = np.minimum(
            order.above(paid, strictly=True) + cell.right, order.above(order.above(paid) + cell.right, strictly=True)
        )
        return -np.minimum(cell.whole - most, moved + order.above(cell.left))

    def paid(self, cell: Cell, most: Floats, total: float) -> Floats:
        """Minus the compute that a plan may have taken before a switch to each law in a cell."""
        return np.maximum(cell.price - most, self.terms.shortest * (1 - SLACK) - total)


@attrs.frozen(eq=False)
class Bound:
    """Bounds on the cost of plans between two errors."""

    field: Field
    edges: Sequence[float]
    """Errors, descending: the upper and lower errors of the cells."""
    cells: Sequence[Cell]
    least: Sequence[Floats]
    """F at each edge."""
    known: Sequence[Floats]
    """U at each edge."""
    most: Sequence[Floats]
    """A at each edge."""
    total: float
    """FLOPs that a plan may take in all."""
    end: int
    """The first edge at which a plan may end."""

    @classmethod
    def of(
        cls, field: Field, edges: Sequence[float], first: tuple[Floats, Floats], last: Floats | float, more: float = 0
    ) -> Bound:
        """`first`: F and U at the first edge; `last`: A at the last one, or what the plan takes in all. `more`: the
        ratio of further cells, for plans that may end at any lower error."""
        cells = [field.cell(upper, lower) for upper, lower in pairwise(edges)]
        least, known = [first[0]], [first[1]]
        for cell, lower in zip(cells, edges[1:], strict=True):
            least.append(field.forth(cell, least[-1]))
            known.append(field.found(cell, known[-1], lower))
        total, end = last if isinstance(last, float) else float(last.max()), len(cells)
        edges, floor = list(edges), float(field.curves.lines.c.min())
        while more and least[-1].min() <= total * (1 + SLACK) and len(edges) <= 2 * end:
            edges.append(floor + (edges[-1] - floor) * more)
            cells.append(field.cell(*edges[-2:]))
            least.append(field.forth(cells[-1], least[-1]))
            known.append(field.found(cells[-1], known[-1], edges[-1]))
        bounds = [np.minimum(one if field.terms.lasting else math.inf, total * np.ones(len(one))) for one in known]
        most = [np.minimum(bound, last) * (1 + SLACK) for bound in bounds[end:]]
        for cell, bound in zip(reversed(cells[:end]), reversed(bounds[:end]), strict=True):
            most.insert(0, np.minimum(bound * (1 + SLACK), field.back(cell, most[0], total)))
        return cls(field, edges, cells, least, known, most, total, end)

    def above(self, ends: Ends) -> float:
        """How much more than the cheapest plan a plan that was found may cost, as a share; of the budget: how much
        higher its error may be."""
        if ends.on_target:
            return ends.total / float(self.least[self.end].min()) - 1
        return ends.error / self.edges[-1] - 1

    def along(self) -> Places:
        """The laws whose bounds leave most room at some edge."""
        with np.errstate(invalid="ignore"):
            room = [np.where(np.isfinite(f), a - f, -np.inf) for f, a in zip(self.least, self.most, strict=True)]
        return np.unique(np.array([one.argmax() for one in room], dtype=np.intp))

    def within(self, depth: int) -> Flags:
        """The laws that are not left out. `depth`: how often a cell is cut."""
        curves, competing = self.field.curves, self.field.terms.competing
        begun = [curves.compute(error) > 0 for error in self.edges]
        there = [least <= most for least, most in zip(self.least, self.most, strict=True)]
        entered = kept = there[0] & begun[0]
        for place in range(len(self.cells)):
            here, inside = there[place] & entered, self._through(place)
            # A law that begins below the start costs nothing before: a plan may begin in it here.
            begins = begun[place + 1] & ~begun[place]
            here |= begins & (inside | (curves.entry(self.edges[place + 1]) <= self.most[place + 1]))
            new = self._competing(place, here, (there[place + 1] | inside) & ~here) if competing else ~here
            entered = entered | new | here
            inside &= begun[place + 1] & (new | here)
            kept |= there[place + 1] & begun[place + 1] & entered
            if depth == 0:
                kept |= inside
            elif (inside & ~kept).any():
                # No other law can be used within this cell.
                few = np.flatnonzero(here | (there[place + 1] & entered) | inside)
                kept[few[self._part(place, few).within(depth - 1)]] = True
        return kept

    def _part(self, place: int, few: Places) -> Bound:
        """The bounds within one cell, for the laws that may be used in it."""
        edges = np.linspace(self.edges[place], self.edges[place + 1], PARTS + 1).tolist()
        first = (self.least[place][few], self.known[place][few])
        return Bound.of(self.field.only(few), edges, first, self.most[place + 1][few])

    def _through(self, place: int) -> Flags:
        """Whether a plan may have a stage in each law that begins and ends within a cell; beyond the end, where a plan
        may end at any error, one that begins in it."""
        field, order, cell = self.field, self.field.order, self.cells[place]
        leave = np.maximum(self.least[place], field.terms.shortest * (1 - SLACK))
        begun = order.below(leave, strictly=True) + cell.price
        if place >= self.end:
            return begun <= self.total * (1 + SLACK)
        left = np.minimum(order.below(cell.left), order.above(cell.left))
        right = np.minimum(order.below(cell.right), order.above(cell.right))
        later = order.above(field.paid(cell, self.most[place + 1], self.total), strictly=True)
        return begun + left + right + later <= 0

    def _competing(self, place: int, there: Flags, asked: Flags) -> Flags:
        """The laws that a plan may switch to within a cell: at some error in it, their rate is not above that of the
        law before, which stands at the upper edge or was switched to within the cell as well. Each round adds a law, so
        there are at most as many rounds as laws."""
        upper, lower = (self.field.curves.rate(error) for error in self.edges[place : place + 2])
        taken = there.copy()
        while True:
            limit = lower[taken].max(initial=0.0)
            more = asked & ~taken & (upper <= limit * (1 + SLACK))
            if not more.any():
                return taken & asked
            taken |= more


def bounded(field: Field, ends: Ends, cells: int, depth: int) -> tuple[Bound, Flags] | None:
    """The bounds down to the end of a plan that was found, and the laws that the cheapest plan may use. None if it may
    use any."""
    floor = min(float(field.curves.lines.c.min()), ends.error - 1e-9 * (ends.start - ends.error))
    ratio = ((ends.error - floor) / (ends.start - floor)) ** (1 / cells)
    edges = [*(floor + (ends.start - floor) * ratio**place for place in range(cells)), ends.error]
    start = field.curves.entry(ends.start)
    bound = Bound.of(field, edges, (start, start), ends.total, 0 if ends.on_target else ratio)
    if not ends.on_target and bound.least[-1].min() <= ends.total * (1 + SLACK):
        return None
    return bound, bound.within(depth)
