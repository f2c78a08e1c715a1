"""The limit of a search over routes, and what leaves routes out before it is reached."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.ir.route import Curve
from shapeflow.traversals.free import Free

MOST = 2_000_000
"""At most this number of comparisons of routes in one search: it bounds the time, to about a second."""
FEW = 20_000
"""Up to this number, no routes are left out: the bound would take longer than the search."""
SLACK = 1e-9
"""Relative difference of two totals that rounding may cause."""


class Limit:
    """Counts comparisons, and leaves out routes that cannot become the cheapest.

    A route that has taken more than the free envelope to its error, by more than a route that was found takes in all,
    is never cheaper than that one: what remains costs at least the envelope.
    """

    reached = False

    def __init__(self, laws: Sequence[Curve], start: float, target: float | None, budget: float | None) -> None:
        """`budget`: FLOPs; None: without one, or if it is not the same in all laws."""
        self._laws, self._start, self._target, self._budget = laws, start, target, budget
        self._taken, self._cost, self._error = 0, math.inf, math.inf
        self._free: Free | None = None

    def take(self, count: int) -> bool:
        """Count some comparisons. False if these are too many."""
        before, self._taken = self._taken, self._taken + count
        if before <= FEW < self._taken:
            self._free = self._envelope()
        self.reached = self._taken > MOST
        return not self.reached

    def to_target(self, cost: float) -> None:
        """Note the cost of a route to the target that keeps to the budget."""
        self._cost = min(self._cost, cost)

    def to_budget(self, error: float) -> None:
        """Note the error of a route that uses up the budget."""
        self._error = min(self._error, error)

    def hopeless(self, total: float, error: float) -> bool:
        """Whether no route that has taken `total` FLOPs to an error becomes the cheapest."""
        if self._free is None:
            return False
        return total - self._free.compute(error) > self._excess(self._free) + SLACK * total

    def _excess(self, free: Free) -> float:
        """The least that a route that was found takes above the envelope."""
        found = math.inf if self._target is None else self._cost - free.compute(self._target)
        if self._budget is not None and self._error < math.inf:
            # Below the target, a route has ended.
            end = self._error if self._target is None else max(self._error, self._target)
            found = min(found, self._budget - free.compute(end))
        return found + SLACK * abs(found)

    def _envelope(self) -> Free | None:
        if self._target is not None:
            return Free.of(self._laws, self._start, self._target)
        if self._budget is None or not self._error < math.inf:
            return None
        floor = min(law.floor for law in self._laws)
        return Free.of(self._laws, self._start, floor + 0.5 * (self._error - floor))
