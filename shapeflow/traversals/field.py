"""Laws, their order, and the terms on which plans switch between them: what a plan takes from one error to the next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.traversals.envelope import Floats, Lines
from shapeflow.traversals.order import Order

Places = NDArray[np.intp]

MOST = 1e300
"""More compute than a law is asked for, so that a product with 0 stays 0."""
SLACK = 1e-9
"""Relative difference of two costs that rounding may cause."""
BLOCK = 1 << 15
"""Cells times candidates that are computed at once: few enough to stay in a processor's cache."""


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


@attrs.frozen(eq=False)
class Curves:
    """Power laws: compute and rates of all laws, `[laws]` at one error or `[errors, laws]` at a column of errors."""

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
        bent = attrs.evolve(lines.bent, row=lines.bent.row[kept])
        return Curves(Lines(lines.k[kept], lines.s[kept], lines.c[kept], bent), self.offset[kept])

    def compute(self, error: float | Floats) -> Floats:
        """Compute of each law at an error; infinite at and below the floor."""
        with np.errstate(over="ignore"):
            bare = np.exp(self.lines.k + (1 - self.lines.s) * self._height(error)) / (self.lines.s - 1)
        return np.where(error > self.lines.c, bare + self.offset, np.inf)

    def entry(self, error: float | Floats) -> Floats:
        return np.maximum(self.compute(error), 0.0)

    def rate(self, error: float | Floats) -> Floats:
        """Compute per unit of error; infinite at and below the floor."""
        with np.errstate(over="ignore"):
            rates = np.exp(self.lines.k - self.lines.s * self._height(error))
        return np.where(error > self.lines.c, rates, np.inf)

    def _height(self, error: float | Floats) -> Floats:
        """The logarithm of the distance from the floor; 0 at and below it."""
        height: Floats = np.log(np.where(error > self.lines.c, error - self.lines.c, 1.0))
        return height


@attrs.frozen(eq=False)
class Cell:
    """What laws cost between two errors: `[laws]`, or `[cells, laws]` for several cells."""

    first: Floats
    """Compute from scratch to the upper error."""
    last: Floats
    """The same to the lower error."""
    price: Floats
    """The least that a switch to a law costs; infinite where the upper error is not above its floor."""
    whole: Floats
    """Compute from the upper to the lower error."""
    left: Floats
    """Half the width, times a lower bound on the rate: a straight line through the cell, at its upper end."""
    right: Floats
    """The same at its lower end."""
    right_before: Floats
    """The least `right` of all laws that can become each law."""
    left_after: Floats
    """The least `left` of all laws that each law can become."""
    neighbours: Floats
    """The least that a cell costs in laws that can become each law, or that it can become."""
    upper: Floats
    """The rate at the upper error."""
    lower: Floats
    """The rate at the lower error."""

    @classmethod
    def of(cls, curves: Curves, order: Order, price: float, edges: Floats) -> Cell:
        """All cells between successive edges. `price`: the least part of a law's compute from scratch that a switch to
        it costs."""
        upper, lower = edges[:-1, None], edges[1:, None]
        begun, width, middle = curves.compute(edges[:, None]), upper - lower, 0.5 * (upper + lower)
        entries = np.maximum(begun, 0.0)
        first, last = entries[:-1], entries[1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.where(np.isfinite(first), last - first, np.inf)
            rate, tilt = curves.rate(middle), curves.lines.s / (middle - curves.lines.c) * (width / 2)
            left, right = rate * (1 - tilt), rate * (1 + tilt)
        rates, steep = curves.rate(edges[:, None]), ~np.isfinite(last) | ~np.isfinite(left)
        left, right = np.where(steep, rates[:-1], left), np.where(steep, rates[:-1], right)
        # Errors above that at compute 0 cost nothing.
        free = begun[:-1] <= 0
        left, right = (np.where(free, 0.0, np.maximum(line, 0.0)) * (width / 2) for line in (left, right))
        paid = np.where(np.isfinite(first), price * np.minimum(first, MOST), np.inf)
        before, after = order.below(right), order.above(left)
        neighbours = np.minimum(order.below(left), after) + np.minimum(before, order.above(right))
        return cls(first, last, paid, whole, left, right, before, after, neighbours, rates[:-1], rates[1:])

    def rows(self) -> Iterator[Cell]:
        """The cells, one at a time."""
        for row in zip(*attrs.astuple(self, recurse=False), strict=True):
            yield Cell(*row)


@attrs.frozen(eq=False)
class Field:
    """Laws, their order, and the terms on which plans switch between them."""

    curves: Curves
    order: Order
    terms: Terms

    def only(self, kept: Places) -> Field:
        terms = attrs.evolve(self.terms, shortest=self.terms.shortest[kept])
        return Field(self.curves.only(kept), self.order.only(kept), terms)

    def cells(self, edges: Sequence[float]) -> list[Cell]:
        """The cells between successive errors, which descend."""
        rows, every = max(1, BLOCK // len(self.terms.shortest)), np.array(edges)
        blocks = (every[first : first + rows + 1] for first in range(0, len(edges) - 1, rows))
        return [cell for block in blocks for cell in Cell.of(self.curves, self.order, self.terms.least, block).rows()]

    def forth(self, cell: Cell, least: Floats) -> tuple[Floats, Floats]:
        """F at the lower edge of a cell, from F at its upper edge; and the least F of the other laws that a plan may
        leave for each law at the upper edge."""
        stay, others = self.order.below_both(np.maximum(least, self.terms.shortest * (1 - SLACK)))
        moved = np.minimum(others + cell.left, self.order.below_others(stay + cell.left))
        return np.minimum(least + cell.whole, moved + cell.right_before + cell.price), others

    def found(self, cell: Cell, known: Floats) -> Floats:
        """U at the lower edge of a cell, from U at its upper edge: a plan that switches at the edge or not at all."""
        ways = np.minimum(known + cell.whole, cell.last)
        if not math.isfinite(self.terms.most):
            return ways
        price = self.terms.most * np.minimum(cell.first, MOST)
        return np.minimum(ways, self.order.below_others(known) + price + cell.whole)

    def back(self, cell: Cell, most: Floats, total: float) -> tuple[Floats, Floats]:
        """A at the upper edge of a cell, from A at its lower edge; and minus the most that a plan may have taken before
        it switches to another law."""
        paid = np.maximum(cell.price - most, self.terms.shortest * (1 - SLACK) - total)
        stay, others = self.order.above_both(paid)
        moved = np.minimum(others + cell.right, self.order.above_others(stay + cell.right))
        return -np.minimum(cell.whole - most, moved + cell.left_after), others
