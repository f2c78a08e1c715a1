"""The search problem of `steepest`: laws, prices, and where a plan may switch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.route import Curve, Problem
from shapeflow.traversals.bounds import Budget, InUnit, prices
from shapeflow.traversals.envelope import FEW, Crossing, Floats, Lines, crossings, entry, openings
from shapeflow.traversals.field import Curves, Field, Terms
from shapeflow.traversals.free import Free, least_error
from shapeflow.traversals.order import Order
from shapeflow.traversals.search import End, Rules, Way, cheapest
from shapeflow.traversals.worthwhile import ROOM, ROUNDS, Ends, bounded

ENOUGH = 192
"""Bounds are not refined for this number of candidates or fewer."""
SEARCHED = 1024
"""At most this number of candidates is searched at once, in seconds and some 300 MB."""


@attrs.frozen
class Question:
    problem: Problem
    laws: list[Curve]
    start: float
    budget: Budget | None
    shortest: list[float]
    dimension: Dimension = "compute"
    """What laws, budget, shortest stages and totals are counted in."""

    @property
    def noun(self) -> str:
        return "compute" if self.dimension == "compute" else self.dimension

    def written(self, amount: float) -> str:
        """An amount in that unit."""
        return str(Amount(float(f"{amount:.4g}"), self.dimension))

    def in_unit(self) -> Question:
        """The same question counted in the unit of the problem, so that the plan is the best one per step, image,
        token or second; itself if a FLOP costs the same part of it in all candidates."""
        units = self._units
        if len(set(units)) == 1:
            return self
        return attrs.evolve(
            self,
            laws=[InUnit(law, unit) for law, unit in zip(self.laws, units, strict=True)],
            budget=self.budget and attrs.evolve(self.budget, unit=(1.0,) * len(units)),
            shortest=[least * unit for least, unit in zip(self.shortest, units, strict=True)],
            dimension=self.budget.dimension if self.budget else self.problem.unit,
        )

    @property
    def _units(self) -> tuple[float, ...]:
        """How much of the problem's unit one FLOP takes in each candidate."""
        if self.budget is not None:
            return self.budget.unit
        found = prices(self.problem, self.problem.unit)
        return (1.0,) * len(self.laws) if found is None else tuple(1 / price for price in found)

    @property
    def end(self) -> End:
        return End(self.problem.target, *((self.budget.value, self.budget.unit) if self.budget else ()))

    def rules(self) -> Rules:
        """The rules of the file; laws have the indices of their candidates."""
        problem, shapes = self.problem, self.problem.candidates
        return Rules(
            allowed=lambda p, q: problem.allowed(shapes[p], shapes[q]),
            price=lambda p, q, error: (
                self._delay(p, q) + (1 - problem.credit(shapes[p], shapes[q])) * entry(self.laws[q], error)
            ),
            surcharge=lambda p, q: self._surcharge(shapes[p], shapes[q]),
            shortest=self.shortest,
        )

    @property
    def _delays(self) -> bool:
        """Whether the seconds of switches are part of their price."""
        return self.problem.unit == "seconds" and self.problem.switch_seconds is not None

    def _delay(self, p: int, q: int) -> float:
        """What the seconds of a switch are in the unit of the totals."""
        problem, shapes = self.problem, self.problem.candidates
        if problem.unit != "seconds" or problem.switch_seconds is None:
            return 0.0
        seconds = problem.switch_seconds(shapes[p], shapes[q])
        return seconds if self.dimension == "seconds" else seconds / self._units[q]

    def answer(self, rules: Rules, unmeasured: bool, *, priced: bool = True) -> Way | None:
        """The cheapest route under some rules; `unmeasured`: whether it may switch at errors outside the measured
        range."""
        kept, above = self._worthwhile(rules, unmeasured, priced) or (None, 0.0)
        found = self._among(kept, rules, unmeasured, priced)
        return found and attrs.evolve(found, above=self._above_free(found) if found.cut else above)

    def _above_free(self, way: Way) -> float:
        """A bound for `Way.above`: how much higher than with free switches between all laws."""
        if not way.on_target:
            least = least_error(self.laws, self.start, self._whole)
            return way.stretches[-1].last / least - 1 if least > 0 else math.inf
        target = way.stretches[-1].last
        free = Free.of(self.laws, self.start, target)
        begin = min(entry(law, self.start) for law in self.laws if law.floor < self.start)
        least = begin + (free.compute(target) if free else 0.0)
        return way.total / least - 1 if least > 0 else math.inf

    def _among(self, kept: Sequence[int] | None, rules: Rules, unmeasured: bool, priced: bool) -> Way | None:
        """The same, over some of the candidates; None: over all."""
        if kept is not None:
            found = self._only(kept)._among(None, _renumbered(rules, kept), unmeasured, priced)
            return found and attrs.evolve(
                found, stretches=tuple(attrs.evolve(one, law=kept[one.law]) for one in found.stretches)
            )
        rules = attrs.evolve(rules, measured=lambda event: unmeasured or self.both_measured(event))
        events = self.switches(self.problem.target, unmeasured, priced=priced)
        return cheapest(self.laws, self.start, [*events, *self._just_long_enough(rules)], self.end, rules)

    def _worthwhile(self, rules: Rules, unmeasured: bool, priced: bool) -> tuple[list[int], float] | None:
        """The candidates that the cheapest route may use, and 0. If these are too many, some of them, and how much
        worse their best route may be, see `Way.above`. None: all candidates, if they are few or not power laws."""
        lines = Lines.of(self.laws) if len(self.laws) > FEW else None
        if lines is None or not lines.plain or len(set(self.end.unit)) > 1 or not rules.from_nothing:
            return None
        field = self._field(lines, rules, unmeasured, priced)
        kept, left, above = self._begin(), np.arange(len(self.laws)), 0.0
        for cells, depth in ROUNDS:
            way = self._among(kept, rules, unmeasured, priced)
            if way is None or not way.stretches[-1].last < self.start or not 0 < way.total < math.inf:
                return None
            ends = Ends(self.start, way.stretches[-1].last, way.total, way.on_target)
            bounds = bounded(field.only(left), ends, max(ROUNDS[0][0], min(cells, ROOM // len(left))), depth)
            if bounds is None:
                return None
            kept = sorted({*(one.law for one in way.stretches), *left[bounds[0].along()].tolist()})
            left, above = left[bounds[1]], bounds[0].above(ends)
            if len(left) <= ENOUGH:
                break
        return (left.tolist(), 0.0) if len(left) <= SEARCHED else (kept, above)

    def _field(self, lines: Lines, rules: Rules, unmeasured: bool, priced: bool) -> Field:
        """The laws, and the rules as bounds know them."""
        problem = self.problem
        credits = problem.credits if priced else (1.0, 1.0)
        everywhere = rules.allowed is Rules().allowed
        order = Order.of(problem.candidates, () if everywhere else problem.one_way or ())
        previewed = problem.previewed and priced
        measured = not unmeasured and any(law.measured is not None for law in self.laws)
        others = any(rules.shortest) or previewed or measured or (priced and self._delays)
        exact = order.exact and (everywhere or problem.one_way is not None)
        terms = Terms(
            least=1 - credits[1],
            most=1 - credits[0] if exact and not others else math.inf,
            lasting=not previewed,
            shortest=np.array(rules.shortest or [0.0] * len(self.laws)),
            competing=credits[0] == 1 and not others,
        )
        begin = np.array([law.compute(self.start) for law in self.laws])
        return Field(Curves.of(lines, self.start, begin), order, terms)

    def _begin(self) -> list[int]:
        """The candidates to begin with: those that are the best fixed shapes at the start and at the end."""
        target, whole, every = self.problem.target, self._whole, range(len(self.laws))
        found = {min(every, key=lambda law: entry(self.laws[law], self.start))}
        if math.isfinite(whole):
            found.add(min(every, key=lambda law: self.laws[law].error(whole)))
        if target is not None:
            found.add(min(every, key=lambda law: entry(self.laws[law], target)))
        return sorted(found)

    @property
    def _whole(self) -> float:
        """FLOPs of the budget; infinite without one."""
        return math.inf if self.budget is None else self.budget.compute(0)

    def _only(self, kept: Sequence[int]) -> Question:
        """The same question about some of the candidates."""
        problem, budget = self.problem, self.budget
        return attrs.evolve(
            self,
            problem=attrs.evolve(problem, candidates=tuple(problem.candidates[at] for at in kept)),
            laws=[self.laws[at] for at in kept],
            budget=budget and attrs.evolve(budget, unit=tuple(budget.unit[at] for at in kept)),
            shortest=[self.shortest[at] for at in kept],
        )

    def switches(self, target: float | None, unmeasured: bool, *, priced: bool = True) -> list[Crossing]:
        """The crossings at which a switch may reduce the cost."""
        ease = self._ease() if priced else None
        events = openings(self.laws, self.start, ease) + crossings(self.laws, self.start, target, ease)
        return [event for event in events if unmeasured or self.both_measured(event)]

    def both_measured(self, event: Crossing) -> bool:
        pairs = (self.laws[event.upper].measured, self.laws[event.lower].measured)
        return all(pair is None or pair[1] <= event.error <= pair[0] for pair in pairs)

    def _surcharge(self, before: Shape, after: Shape) -> float:
        """A previewed step costs more FLOPs and time, but is one step on as much data as any other."""
        if not self.problem.previewed or self.dimension not in ("compute", "seconds"):
            return 0.0
        return self.problem.surcharge(before, after)

    def _ease(self) -> Floats:
        """Log of credit / (1 + surcharge) of each switch; see `crossings`."""
        shapes, problem = self.problem.candidates, self.problem
        ease = [[problem.credit(p, q) / (1 + self._surcharge(p, q)) for q in shapes] for p in shapes]
        with np.errstate(divide="ignore"):
            logs: Floats = np.log(np.array(ease, dtype=float).reshape(len(shapes), len(shapes)))
        return logs

    def _just_long_enough(self, rules: Rules) -> list[Crossing]:
        """Switches after which the last stage before the target has exactly its minimum length."""
        target, found = self.problem.target, []
        if target is None:
            return []
        for q, (law, shortest) in enumerate(zip(self.laws, rules.shortest, strict=False)):
            whole = entry(law, target)
            if not 0 < shortest < whole or not math.isfinite(whole):
                continue
            for p, shape in enumerate(self.problem.candidates):
                credit = self.problem.credit(shape, self.problem.candidates[q])
                left = whole - shortest + (self._delay(p, q) if p != q else 0.0)
                error = law.error(left / credit) if p != q and credit > 0 else math.inf
                event = Crossing(error, p, q)
                if target < error < self.start and rules.measured(event):
                    found.append(event)
        return found


def _renumbered(rules: Rules, kept: Sequence[int]) -> Rules:
    """Rules for laws that have new indices: those of their places in `kept`."""
    return attrs.evolve(
        rules,
        allowed=lambda p, q: rules.allowed(kept[p], kept[q]),
        price=lambda p, q, error: rules.price(kept[p], kept[q], error),
        surcharge=lambda p, q: rules.surcharge(kept[p], kept[q]),
        shortest=[rules.shortest[at] for at in kept] if rules.shortest else (),
    )
