"""`steepest` over random families of laws: it ends, soon, and no route that a brute force finds is cheaper.

`pytest tests/test_traversals_families.py --families 1000` tries 1,000 families.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from test_traversals_prices import ask, law

from shapeflow.base.diagnostics import Report
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_file
from shapeflow.ir.law import Law
from shapeflow.ir.route import Problem, Route
from shapeflow.traversals.envelope import entry
from shapeflow.traversals.steepest import Steepest

SECONDS = 1.0
CASES = Path(__file__).parent / "faults"


@pytest.fixture
def families(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--families"))


@attrs.frozen
class Family:
    problem: Problem
    least: float
    """FLOPs of the shortest stage."""

    def route(self, report: Report) -> Route | None:
        least = Amount(self.least, "compute") if self.least else None
        return Steepest(stage_at_least=least).route(self.problem, report)

    @property
    def laws(self) -> list[Law]:
        return [self.problem.laws[shape] for shape in self.problem.candidates]  # type: ignore[misc]


def family(seed: int) -> Family:
    """Two to six laws, each with random rules: credits, one-way transitions, previews, a shortest stage, a budget."""
    draw = random.Random(seed)
    laws = [_law(draw) for _ in range(draw.choice([2, 3, 4, 5, 6]))]
    # A law that starts below the start has made no step there, so the brute force has no stage that it could end.
    start = min(draw.uniform(0.6, 1.2), *(0.999 * one.error(0.0) for one in laws if one.d > 0), 1.2)
    floor = min(one.floor for one in laws)
    target = floor + draw.uniform(0.02, 0.4) * (start - floor) if start > floor else start / 2
    whole = min((entry(one, target) for one in laws if one.floor < target), default=1e9)
    least = whole * draw.choice([1e-3, 0.01, 0.1, 1e-12]) if draw.random() < 0.4 else 0.0
    budget = Amount(whole * draw.uniform(0.3, 2), "compute") if draw.random() < 0.3 else None
    credit, one_way = draw.choice([1.0, draw.uniform(0.5, 1)]), draw.random() < 0.7
    problem = ask(
        laws,
        start,
        None if budget is not None and draw.random() < 0.5 else target,
        budget=budget,
        credit=lambda p, q: credit,
        allowed=(lambda p, q: p < q) if one_way else (lambda p, q: True),
    )
    preview = 0.1 if draw.random() < 0.3 else 0.0
    return Family(attrs.evolve(problem, surcharge=lambda p, q: preview), least)


def _law(draw: random.Random) -> Law:
    b = draw.uniform(0.2, 1.2)
    a = 10 ** (draw.uniform(5, 9.5) * b)
    d = draw.choice([0.0, -0.0, 10 ** draw.uniform(5, 9), -(10 ** draw.uniform(3, 6))])
    return law(a, b, draw.choice([0.0, draw.uniform(0, 0.5)]), d)


Begin = tuple[int, int, bool]
"""A stage: its law, the index of the error at which it begins, and whether it is the first one."""


class Brute:
    """All routes that switch at the errors of a list, by the rules of a problem."""

    def __init__(self, tried: Family, extra: Sequence[float], points: int = 40) -> None:
        self.problem, self.laws = tried.problem, tried.laws
        # The switches of a route under test are not exactly where its stages are just long enough.
        self.least = tried.least * (1 - 1e-6) - 1e-9 * max(abs(one.d) for one in self.laws)
        start, target = self.problem.start, self.problem.target
        assert start is not None
        low = target if target is not None else min(one.floor for one in self.laws)
        errors = {*np.linspace(start, low, points).tolist(), *(e for e in extra if low < e <= start)}
        self.errors = sorted((e for e in errors if target is not None or e > low), reverse=True)
        self.compute = [[entry(one, error) for error in self.errors] for one in self.laws]
        self.begun: dict[Begin, tuple[float, float]] = {
            (p, 0, True): (compute[0], 0.0) for p, compute in enumerate(self.compute) if math.isfinite(compute[0])
        }
        for at in range(len(self.errors)):
            while self._switch(at):
                pass

    def _switch(self, at: int) -> bool:
        """Add the stages that begin at an error. Whether one of them is new, or cheaper than before."""
        better = False
        for (p, first, _), (total, before) in list(self.begun.items()):
            cost = total + self.compute[p][at] - self.compute[p][first]
            length = cost - before
            if not math.isfinite(cost) or length <= 0 or length < self.least:
                continue
            for q in range(len(self.laws)):
                found = self._arrival(p, q, at, cost, length)
                key = (q, at, False)
                if found is not None and found[0] < self.begun.get(key, (math.inf,))[0] * (1 - 1e-12):
                    self.begun[key], better = found, True
        return better

    def _arrival(self, p: int, q: int, at: int, cost: float, length: float) -> tuple[float, float] | None:
        before, after = self.problem.candidates[p], self.problem.candidates[q]
        if p == q or not self.problem.allowed(before, after) or not math.isfinite(self.compute[q][at]):
            return None
        left = cost + self.problem.surcharge(before, after) * length
        return left + (1 - self.problem.credit(before, after)) * self.compute[q][at], left

    def to_target(self, target: float) -> float:
        """The least FLOPs to the target."""
        ends = [
            (total + entry(self.laws[p], target) - self.compute[p][first], before, alone)
            for (p, first, alone), (total, before) in self.begun.items()
            if self.laws[p].floor < target
        ]
        return min((cost for cost, before, alone in ends if alone or cost - before >= self.least), default=math.inf)

    def for_budget(self, budget: float) -> float:
        """The least error for a budget."""
        return min(
            self.laws[p].error(self.compute[p][first] + budget - total)
            for (p, first, alone), (total, before) in self.begun.items()
            if (budget >= total and budget - before >= self.least) or alone
        )


def ended(tried: Family, found: Route) -> tuple[float, float]:
    """The FLOPs of a route to the target, and its error at the budget; infinite if there is none."""
    problem, error = tried.problem, tried.problem.start
    assert error is not None
    law_of: Mapping[Any, Any] = problem.laws
    total, before = entry(law_of[found.legs[0].shape], error), 0.0
    for leg, following in zip(found.legs[:-1], found.legs[1:], strict=True):
        end, shape = leg.until.error, following.shape
        assert end is not None
        cost = total + entry(law_of[leg.shape], end) - entry(law_of[leg.shape], error)
        before = cost + problem.surcharge(leg.shape, shape) * (cost - before)
        total = before + (1 - problem.credit(leg.shape, shape)) * entry(law_of[shape], end)
        error = end
    last = law_of[found.legs[-1].shape]
    to_target = math.inf if problem.target is None else total + entry(last, problem.target) - entry(last, error)
    left = math.inf if problem.budget is None else problem.budget.value - total
    return to_target, last.error(entry(last, error) + left) if math.isfinite(left) else math.inf


def test_no_route_of_a_brute_force_is_better(families: int) -> None:
    for seed in range(families):
        tried = family(seed)
        began = time.process_time()
        found = tried.route(Report())
        assert time.process_time() - began < SECONDS, f"family {seed}"
        if found is None:
            continue
        brute = Brute(tried, [leg.until.error for leg in found.legs[:-1] if leg.until.error is not None])
        cost, error = ended(tried, found)
        target, budget = tried.problem.target, tried.problem.budget
        best = math.inf if target is None else brute.to_target(target)
        if target is not None and (budget is None or best <= budget.value):
            # Far from the offset of a law, its compute is a small difference of large numbers.
            assert cost == pytest.approx(best, rel=1e-6, abs=1e-12 * max(abs(one.d) for one in tried.laws)), seed
        else:
            assert budget is not None
            assert error == pytest.approx(brute.for_budget(budget.value), rel=1e-6), seed


SCALES, STEEP, FLOORS = (
    [1e-100, 1e-30, 1e-5, 0.5, 1.0, 1e5, 1e30, 1e100],
    [1e-9, 0.1, 0.5, 1.0, 30.0, 1e3],
    [0.0, 0.1, 0.3],
)
OFFSETS = [0.0, 5.0, 1e37, -1e37, -5.0, 1e9, 1e-6]


@pytest.mark.filterwarnings("error")
def test_laws_of_any_numbers_end_at_once(families: int) -> None:
    """Laws whose numbers are at the limits of what a file may state: a route or a diagnostic, no warning of numpy."""
    for seed in range(5 * families):
        draw = random.Random(seed)
        laws = [
            law(draw.choice(SCALES), draw.choice(STEEP), draw.choice([*FLOORS, 1e-12, 1e12, -1.0]), d)
            for d in draw.choices(OFFSETS, k=draw.choice([2, 3, 4]))
        ]
        budget = draw.choice([None, Amount(draw.choice([1e-6, 1e7, 1e14, 1e36]), "compute")])
        target = draw.choice([None, 0.25, 1e-9, 1e-12])
        problem = ask(laws, draw.choice([1.0, 100.0, 1e12, 1e-5]), target, budget=budget, credit=lambda p, q: 0.9)
        tried, began = Family(problem, draw.choice([0.0, 64.0, 0.1, 1e10])), time.process_time()
        report = Report()
        assert (tried.route(report) is None) == report.failed
        assert time.process_time() - began < SECONDS, f"laws {seed}"


@pytest.mark.parametrize("name", ["endless_credit", "endless_offset"])
def test_families_that_once_did_not_end(name: str) -> None:
    began = time.process_time()
    compile_file(CASES / f"{name}.shape", [], Report())
    assert time.process_time() - began < 2 * SECONDS
