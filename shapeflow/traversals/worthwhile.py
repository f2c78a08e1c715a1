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

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.traversals.envelope import Floats
from shapeflow.traversals.field import SLACK, Cell, Field, Places

Flags = NDArray[np.bool_]

ROUNDS = ((256, 0), (1024, 0), (1024, 1))
"""Cells between the start and the end, and how often a cell is cut again, in each round. More cells leave out more
candidates."""
ROOM = 1 << 21
"""Cells times candidates, in a round: it bounds the memory."""
PARTS = 8
"""A cell in which laws may be used that are not used at its edges is cut into this number."""


@attrs.frozen
class Ends:
    """Where the plan that was found begins and ends."""

    start: float
    error: float
    total: float
    """FLOPs."""
    on_target: bool


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
    before: Sequence[Floats]
    """For each cell and law, the least F of the other laws that a plan may leave for it at the upper edge."""
    after: Sequence[Floats]
    """For each cell before the end and law, minus the most that a plan may have taken before it leaves it for another
    law."""
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
        cells, before = field.cells(edges), list[Floats]()
        least, known = [first[0]], [first[1]]

        def onward(cell: Cell) -> None:
            lower, others = field.forth(cell, least[-1])
            least.append(lower)
            before.append(others)
            known.append(field.found(cell, known[-1]))

        for cell in cells:
            onward(cell)
        total, end = last if isinstance(last, float) else float(last.max()), len(cells)
        edges, floor = list(edges), float(field.curves.lines.c.min())
        while more and least[-1].min() <= total * (1 + SLACK) and len(edges) <= 2 * end:
            edges.append(floor + (edges[-1] - floor) * more)
            cells += field.cells(edges[-2:])
            onward(cells[-1])
        bounds = [np.minimum(one if field.terms.lasting else math.inf, total * np.ones(len(one))) for one in known]
        most = [np.minimum(bound, last) * (1 + SLACK) for bound in reversed(bounds[end:])]
        after = list[Floats]()
        for cell, bound in zip(reversed(cells[:end]), reversed(bounds[:end]), strict=True):
            upper, others = field.back(cell, most[-1], total)
            most.append(np.minimum(bound * (1 + SLACK), upper))
            after.append(others)
        return cls(field, edges, cells, least, known, most[::-1], before, after[::-1], total, end)

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
        competing = self.field.terms.competing
        begun = [cell.first > 0 for cell in self.cells] + [self.cells[-1].last > 0]
        there = [least <= most for least, most in zip(self.least, self.most, strict=True)]
        entered = kept = there[0] & begun[0]
        for place in range(len(self.cells)):
            here, inside = there[place] & entered, self._through(place)
            # A law that begins below the start costs nothing before: a plan may begin in it here.
            begins = begun[place + 1] & ~begun[place]
            here |= begins & (inside | (self.cells[place].last <= self.most[place + 1]))
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
        cell = self.cells[place]
        begun = self.before[place] + cell.price
        if place >= self.end:
            return begun <= self.total * (1 + SLACK)
        return begun + cell.neighbours + self.after[place] <= 0

    def _competing(self, place: int, there: Flags, asked: Flags) -> Flags:
        """The laws that a plan may switch to within a cell: at some error in it, their rate is not above that of the
        law before, which stands at the upper edge or was switched to within the cell as well. Each round adds a law, so
        there are at most as many rounds as laws."""
        upper, lower = self.cells[place].upper, self.cells[place].lower
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
