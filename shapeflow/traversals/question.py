"""The search problem of `steepest`: laws, prices, and where a plan may switch."""

from __future__ import annotations

import math

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.route import Curve, Problem
from shapeflow.traversals.bounds import Budget, InUnit
from shapeflow.traversals.envelope import Crossing, Floats, crossings, entry, openings
from shapeflow.traversals.search import End, Rules, Way, cheapest


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
        """The same question counted in the unit of its budget, so that the plan is the best one per step, image,
        token or second; itself if a FLOP costs the same part of the budget in all candidates."""
        if self.budget is None or len(set(self.budget.unit)) == 1:
            return self
        units = self.budget.unit
        return attrs.evolve(
            self,
            laws=[InUnit(law, unit) for law, unit in zip(self.laws, units, strict=True)],
            budget=attrs.evolve(self.budget, unit=(1.0,) * len(units)),
            shortest=[least * unit for least, unit in zip(self.shortest, units, strict=True)],
            dimension=self.budget.dimension,
        )

    @property
    def end(self) -> End:
        return End(self.problem.target, *((self.budget.value, self.budget.unit) if self.budget else ()))

    def rules(self) -> Rules:
        """The rules of the file; laws have the indices of their candidates."""
        problem, shapes = self.problem, self.problem.candidates
        return Rules(
            allowed=lambda p, q: problem.allowed(shapes[p], shapes[q]),
            price=lambda p, q, error: (1 - problem.credit(shapes[p], shapes[q])) * entry(self.laws[q], error),
            surcharge=lambda p, q: self._surcharge(shapes[p], shapes[q]),
            shortest=self.shortest,
        )

    def answer(self, rules: Rules, unmeasured: bool, *, priced: bool = True) -> Way | None:
        """The cheapest route under some rules; `unmeasured`: whether it may switch at errors outside the measured
        range."""
        rules = attrs.evolve(rules, measured=lambda event: unmeasured or self.both_measured(event))
        events = self.switches(self.problem.target, unmeasured, priced=priced)
        return cheapest(self.laws, self.start, [*events, *self._just_long_enough(rules)], self.end, rules)

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
        return self.problem.surcharge(before, after) if self.dimension in ("compute", "seconds") else 0.0

    def _ease(self) -> Floats:
        """Log of credit / (1 + surcharge) of each switch; see `crossings`."""
        shapes, problem = self.problem.candidates, self.problem
        ease = [[problem.credit(p, q) / (1 + self._surcharge(p, q)) for q in shapes] for p in shapes]
        with np.errstate(divide="ignore"):
            logs: Floats = np.log(np.array(ease, dtype=float))
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
                error = law.error((whole - shortest) / credit) if p != q and credit > 0 else math.inf
                event = Crossing(error, p, q)
                if target < error < self.start and rules.measured(event):
                    found.append(event)
        return found
