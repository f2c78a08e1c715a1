"""Finds the cheapest route over the crossings of laws if switches have prices or directions, or stages have a minimum
length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import attrs

from shapeflow.ir.route import Curve
from shapeflow.traversals.envelope import TIE, Crossing, Stretch, along, entry
from shapeflow.traversals.limit import Limit

ROUNDING = 1e-9


@attrs.frozen
class Rules:
    """The rules of a route. Laws are given by index."""

    allowed: Callable[[int, int], bool] = lambda p, q: True
    price: Callable[[int, int, float], float] = lambda p, q, error: 0.0
    """FLOPs that a switch at an error costs."""
    surcharge: Callable[[int, int], float] = lambda p, q: 0.0
    """The fraction of the compute of the stage before a switch that its preview adds."""
    measured: Callable[[Crossing], bool] = lambda event: True
    """Whether a switch is allowed at this error. Used for switches that are moved to give a stage its minimum
    length."""
    shortest: Sequence[float] = ()
    """The minimum FLOPs of a stage in each law, including the price of its switch; empty: no minimum. A single stage
    may be shorter."""
    from_nothing: bool = True
    """Whether the total counts the compute that the first law needs to reach the start."""


@attrs.frozen
class End:
    """The end of a route: the target error or the end of the budget, whichever comes first."""

    target: float | None = None
    budget: float | None = None
    unit: Sequence[float] = ()
    """How much of the budget one FLOP of each law uses; empty: 1 for all laws, as the budget is compute."""


@attrs.frozen
class Way:
    """A route that was found."""

    stretches: tuple[Stretch, ...]
    total: float
    """FLOPs, including prices."""
    on_target: bool
    above: float = 0.0
    """How much higher the total may be than that of the cheapest route, as a share of it; for a budget: the error. 0
    unless there were too many candidates or routes to search."""
    cut: bool = False
    """Whether the search was ended by its limit, see `Limit`."""


@attrs.frozen(eq=False)
class _Entry:
    """The beginning of a stage in a law, with the cheapest route to it."""

    law: int
    error: float
    before: float
    """Total just before the switch, including the preview. The length of the stage is counted from here."""
    total: float
    base: float
    """Total minus the law's compute from scratch to this error, so that `base + entry(law, e)` is the total at a lower
    error e."""
    spent: float
    """How much of the budget is used so far."""
    stages: int
    parent: _Entry | None
    ripe: float
    """The error from which on the stage is long enough to end."""


def cheapest(
    laws: Sequence[Curve], start: float, events: Sequence[Crossing], end: End, rules: Rules | None = None
) -> Way | None:
    """The cheapest route from the start to the end, with switches at `events`. If a stage is too short at an event, the
    switch moves to the error at which the stage is long enough. None if no law reaches the end.

    Cheapest means the least compute to a target, or the least error for a budget of compute without a target. Of equal
    routes, the one with the fewest stages wins. Routes with a single law are included, so the result never costs more
    than the best fixed shape.

    The search takes at most `limit.MOST` comparisons of routes. Of more routes, those that switch at lower errors are
    left out, and `Way.cut` is set.
    """
    search = _Search(laws, start, end, rules or Rules())
    for event in events:
        search.plan(event)
    search.run()
    way = search.at_target() or search.at_budget()
    return way and attrs.evolve(way, cut=search.limit.reached)


class _Search:
    def __init__(self, laws: Sequence[Curve], start: float, end: End, rules: Rules) -> None:
        self.laws, self.start, self.end, self.rules = laws, start, end, rules
        self.unit = end.unit or [1.0] * len(laws)
        self.shortest = rules.shortest or [0.0] * len(laws)
        self.entries: list[list[_Entry]] = [[] for _ in laws]
        self.events: list[tuple[float, int, int]] = []
        self.planned: set[tuple[float, int, int]] = set()
        budget = self.end.budget
        self._compute = None if budget is None or len(set(self.unit)) > 1 else budget / self.unit[0]
        """FLOPs of the budget, if they are the same in all laws."""
        self.limit = Limit(laws, start, end.target, self._compute)
        for index, law in enumerate(laws):
            if law.floor < start:
                begin = entry(law, start) if rules.from_nothing else 0.0
                self._add(index, start, 0.0, begin, begin * self.unit[index], None)

    def _add(self, law: int, error: float, before: float, total: float, spent: float, parent: _Entry | None) -> None:
        stages = parent.stages + 1 if parent else 1
        here, short = entry(self.laws[law], error), self.shortest[law] - (total - before)
        ripe = min(error, self.laws[law].error(here + short)) if short > 0 else error
        one = _Entry(law, error, before, total, total - here, spent, stages, parent, ripe)
        self.entries[law].append(one)
        self._finish(one)
        self._leave_enough(one)

    def _finish(self, one: _Entry) -> None:
        """Note where the route ends if it stays in this law."""
        law, target, budget = self.laws[one.law], self.end.target, self._compute
        if target is not None and (here := entry(law, target)) < math.inf:
            affordable = self.end.budget is None or self._spent(one, target) <= self.end.budget
            if affordable and self._long_enough(one, one.base + here):
                self.limit.to_target(one.base + here)
        if budget is not None and one.total <= budget and self._long_enough(one, budget):
            self.limit.to_budget(law.error(budget - one.base))

    def plan(self, event: Crossing) -> None:
        """Add an event, once."""
        key = (-event.error, event.upper, event.lower)
        if key not in self.planned:
            self.planned.add(key)
            heappush(self.events, key)

    def run(self) -> None:
        """Process all events from the start on, including those that are added meanwhile, until the limit. An event
        only adds events at lower errors, so none comes back; but each stage may add two for each law, and each of these
        a stage, so their number may grow with the power of the number of stages."""
        while self.events:
            error, p, q = heappop(self.events)
            if not self.limit.take(1 + len(self.entries[p]) + len(self.entries[q])):
                break
            self.pass_by(Crossing(-error, p, q))

    def _leave_enough(self, one: _Entry) -> None:
        """Plan switches such that the last stage before the end of the budget is just long enough."""
        if self.end.budget is None or not any(self.shortest) or len(set(self.unit)) > 1:
            return
        left = (self.end.budget - one.spent) / self.unit[one.law]
        for q, shortest in enumerate(self.shortest):
            if q != one.law and 0 < shortest < left:
                compute = (left - shortest) / (1 + self.rules.surcharge(one.law, q))
                law = self.laws[one.law]
                self._later(one, q, law.error(entry(law, one.error) + compute))

    def _later(self, one: _Entry, q: int, error: float) -> None:
        """Plan a switch to law q at a lower error of a stage."""
        event = Crossing(error, one.law, q)
        past = self.end.target is not None and error <= self.end.target
        if error < one.error and not past and self.rules.measured(event):
            self.plan(event)

    def _best(self, law: int, error: float, after: int) -> tuple[float, _Entry] | None:
        """The least total at an error in a law, including the preview of law `after`, over all routes whose stage may
        end there; and the beginning of that stage."""
        here = entry(self.laws[law], error)
        if not self.entries[law] or not math.isfinite(here):
            return None
        best: tuple[float, _Entry] | None = None
        surcharge, shortest = self.rules.surcharge(law, after), self.shortest[law] * (1 - ROUNDING)
        most = math.inf
        for one in self.entries[law]:
            cost = one.base + here
            length = cost - one.before
            # Allow for rounding: a switch may be exactly where a stage gets long enough. FLOPs alone cannot decide it:
            # far along a law, one more FLOP may leave the error as it is.
            if error <= one.ripe or length >= shortest:
                cost += surcharge * length
                # If a law starts below the error, it has not made a step yet, so there is no stage to end.
                if length > 0 and cost <= most and _better(cost, one, best):
                    best, most = (cost, one), cost + TIE * abs(cost)
            elif one.error >= error:
                self._later(one, after, one.ripe)
        return best

    def _spent(self, one: _Entry, error: float) -> float:
        return one.spent + along(self.laws[one.law], one.error, error) * self.unit[one.law]

    def pass_by(self, event: Crossing) -> None:
        """Record the stage that begins with a switch at this crossing."""
        p, q, error = event.upper, event.lower, event.error
        best = self._best(p, error, q) if self.rules.allowed(p, q) else None
        if best is None:
            return
        cost, one = best
        price = self.rules.price(p, q, error)
        if self.limit.hopeless(cost + price, error):
            return
        here = entry(self.laws[q], error)
        known = self.entries[q]
        # Skip it if a known route does not cost more, has a stage at least as long so far, and does not have more
        # stages.
        if any(
            other.base + here <= cost + price
            and other.base + here - other.before >= min(price, self.shortest[q])
            and other.stages <= one.stages + 1
            for other in known
        ):
            return
        preview = cost - one.base - entry(self.laws[p], error)
        spent = self._spent(one, error) + preview * self.unit[p] + price * self.unit[q]
        self._add(q, error, cost, cost + price, spent, one)

    def at_target(self) -> Way | None:
        """The cheapest route to the target; None if there is no target or the budget is too small."""
        target, budget = self.end.target, self.end.budget
        best = None if target is None else self._to(target)
        if target is None or best is None:
            return None
        if budget is not None and self._spent(best[1], target) > budget * (1 + TIE):
            return None
        return Way(self._stretches(best[1], target), best[0], True)

    def _to(self, error: float) -> tuple[float, _Entry] | None:
        """The least compute to an error, and the last stage of that route."""
        best: tuple[float, _Entry] | None = None
        for law, known in zip(self.laws, self.entries, strict=True):
            here = entry(law, error)
            for one in known if math.isfinite(here) else ():
                cost = one.base + here
                if one.error >= error and self._long_enough(one, cost) and _better(cost, one, best):
                    best = cost, one
        return best

    def at_budget(self) -> Way | None:
        """The route that uses up the budget. For a budget of compute, the route to the least error; for other units,
        the route with the least compute, since this search minimizes compute."""
        budget = self.end.budget
        if budget is None or not any(self.entries):
            return None
        return self._of_compute(budget) if len(set(self.unit)) == 1 else self._of_unit(budget)

    def _of_compute(self, budget: float) -> Way:
        best: tuple[float, _Entry] | None = None
        for one in (one for known in self.entries for one in known):
            left = (budget - one.spent) / self.unit[one.law]
            if (left >= 0 or one.parent is None) and self._long_enough(one, one.total + left):
                error = self.laws[one.law].error(one.total + left - one.base)
                if _better(error, one, best):
                    best = error, one
        assert best is not None  # a first stage is always long enough
        error, one = best
        return Way(self._stretches(one, error), one.total + (budget - one.spent) / self.unit[one.law], False)

    def _of_unit(self, budget: float) -> Way:
        start = self.start
        first = min((known[0] for known in self.entries if known), key=lambda one: one.total)
        if first.spent > budget:
            compute = budget / self.unit[first.law]
            return Way(self._stretches(first, self.laws[first.law].error(compute)), compute, False)
        found, high, low = (first.total, first), start, min(law.floor for law in self.laws)
        while low < (middle := 0.5 * (low + high)) < high:
            best = self._to(middle)
            if best is not None and self._spent(best[1], middle) <= budget:
                found, high = best, middle
            else:
                low = middle
        return Way(self._stretches(found[1], high), found[0], False)

    def _long_enough(self, one: _Entry, cost: float) -> bool:
        return one.parent is None or cost - one.before >= self.shortest[one.law] * (1 - ROUNDING)

    def _stretches(self, one: _Entry, end: float) -> tuple[Stretch, ...]:
        parts: list[Stretch] = []
        at: _Entry | None = one
        while at is not None:
            parts.append(Stretch(at.law, at.error, end, along(self.laws[at.law], at.error, end)))
            end, at = at.error, at.parent
        return tuple(reversed(parts))


def _better(cost: float, one: _Entry, best: tuple[float, _Entry] | None) -> bool:
    if best is None:
        return True
    slack = TIE * abs(best[0]) if math.isfinite(best[0]) else 0.0
    return cost < best[0] - slack or (cost <= best[0] + slack and one.stages < best[1].stages)
