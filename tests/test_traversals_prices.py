"""`steepest` with the costs of switches, against closed forms and a search over a grid of errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import Problem, Route
from shapeflow.traversals.envelope import entry
from shapeflow.traversals.steepest import Steepest

Pair = Callable[[int, int], float]


def law(a: float, b: float, c: float = 0.0, d: float = 0.0, measured: tuple[float, float] | None = None) -> Law:
    return Law(a, b, c, d, Provenance(source="stated", metric="error", convention="flops", error=measured))


S, L = law(1, 1, 0.2), law(4, 1)


def ask(laws: Sequence[Law], start: float, target: float | None, **more: Any) -> Problem:
    """A problem over widths 0, 1, ...; `allowed` and `credit` take indices."""
    shapes = [Shape.of(width=i) for i in range(len(laws))]
    pairs = {"allowed": lambda p, q: True, "credit": lambda p, q: 1.0, **more}
    calls = {name: _by_width(value) if name in ("allowed", "credit") else value for name, value in pairs.items()}
    known = {"units": {"width": ""}, "budget": None, "step_compute": None, "spans": {}, **calls}
    return Problem(
        candidates=tuple(shapes), laws=dict(zip(shapes, laws, strict=True)), start=start, target=target, **known
    )


def _by_width(of: Any) -> Any:
    return lambda p, q: of(p["width"], q["width"])


def route(problem: Problem, **settings: Any) -> Route:
    report = Report()
    found = Steepest(**settings).route(problem, report)
    assert not report.diagnostics, report.diagnostics
    assert found is not None
    return found


def stages(found: Route) -> list[tuple[Any, float | None]]:
    return [(leg.shape["width"], leg.until.error) for leg in found.legs]


def cost(found: Route, problem: Problem) -> float:
    """The FLOPs of a route to the problem's target, summed over its legs."""
    total, before, error = 0.0, None, None
    assert problem.target is not None
    for leg in found.legs:
        curve, end = problem.laws[leg.shape], leg.until.error or problem.target
        credit = 1.0 if before is None else problem.credit(before, leg.shape)
        total += entry(curve, end) - (0.0 if error is None else credit * entry(curve, error))
        before, error = leg.shape, end
    return total


def test_a_low_credit_moves_the_switch_up() -> None:
    problem = ask([S, L], 1.2, 0.25, credit=lambda p, q: 0.45)
    found = route(problem)
    root = math.sqrt(1.8)
    error = 0.2 * root / (root - 1)
    assert stages(found) == [(0, pytest.approx(error)), (1, None)]
    assert S.compute(error) == pytest.approx(1.7082, abs=1e-4)
    assert cost(found, problem) == pytest.approx(15.4164, abs=1e-4)


def test_a_switch_at_the_start() -> None:
    problem = ask([S, law(97.2, 4)], 1.2, 0.5)
    found = route(problem)
    assert stages(found) == [(0, 1.2), (1, None)]
    assert S.compute(1.2) == pytest.approx(1)
    assert cost(found, problem) == pytest.approx(1.734, abs=1e-3)


def test_a_start_above_the_error_at_no_compute() -> None:
    problem = ask([law(1, 1, 0, 10), law(0.9, 1)], 1.2, 0.05)
    found = route(problem)
    assert stages(found) == [(0, None)]
    assert cost(found, problem) == pytest.approx(10)


def grid(problem: Problem, points: int = 300) -> float:
    """The least FLOPs to the target if switches are only allowed at the errors of a grid."""
    shapes, start, target = problem.candidates, problem.start, problem.target
    assert start is not None
    assert target is not None
    laws = [problem.laws[shape] for shape in shapes]
    at = [entry(curve, start) if curve.floor < start else math.inf for curve in laws]
    errors = np.linspace(start, target, points).tolist()
    for error, after in zip(errors, [*errors[1:], None], strict=True):
        here = list(at)
        for p, before in enumerate(shapes):
            for q, shape in enumerate(shapes):
                if p != q and problem.allowed(before, shape) and laws[q].floor < error:
                    price = (1 - problem.credit(before, shape)) * entry(laws[q], error)
                    here[q] = min(here[q], at[p] + price)
        if after is None:
            return min(at)
        at = [
            value + entry(curve, after) - entry(curve, error) if curve.floor < after else math.inf
            for value, curve in zip(here, laws, strict=True)
        ]
    raise AssertionError


some_laws = st.lists(
    st.builds(law, st.floats(0.5, 5), st.floats(0.2, 2), st.floats(0, 0.4), st.sampled_from([0.0, -0.2])),
    min_size=2,
    max_size=3,
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(some_laws, st.floats(0.2, 1), st.booleans())
def test_no_way_on_a_grid_is_cheaper(laws: list[Law], credit: float, one_way: bool) -> None:
    target = min(curve.floor for curve in laws) + 0.1
    allowed = (lambda p, q: p < q) if one_way else (lambda p, q: True)
    problem = ask(laws, 1.0, target, credit=lambda p, q: credit, allowed=allowed)
    mine, best = cost(route(problem), problem), grid(problem)
    assert mine <= best * (1 + 1e-9) + 1e-9
    assert mine >= 0.97 * best - 0.05
    assert mine <= min(entry(curve, target) for curve in laws) * (1 + 1e-9)


def test_a_preview_is_part_of_the_price() -> None:
    """A preview that adds half the cost of the first stage moves the switch to (1 + 0.5) rate_S = rate_L, which is at
    error 0.2 r / (r - 1) with r = sqrt(4 / 1.5)."""
    problem = attrs.evolve(ask([S, L], 1.2, 0.25), surcharge=lambda p, q: 0.5)
    root = math.sqrt(4 / 1.5)
    assert stages(route(problem)) == [(0, pytest.approx(0.2 * root / (root - 1))), (1, None)]
    dear = attrs.evolve(problem, surcharge=lambda p, q: 100.0)
    assert stages(route(dear)) == [(1, None)]


def test_a_stage_is_lengthened_rather_than_dropped() -> None:
    problem = ask([S, L], 1.2, 0.25)
    found = route(problem, stage_at_least=Amount(5.5, "compute"))
    assert stages(found) == [(0, pytest.approx(S.error(5.5))), (1, None)]
    assert cost(found, problem) == pytest.approx(11.02, abs=5e-3)


def test_the_last_stage_is_lengthened_too() -> None:
    problem = ask([S, L], 1.2, 0.25)
    found = route(problem, stage_at_least=Amount(4.0, "compute"))
    assert stages(found) == [(0, pytest.approx(0.4)), (1, None)]
    problem = ask([S, L], 1.2, 0.35)  # of 11.43 FLOPs, the last stage takes 1.43
    found = route(problem, stage_at_least=Amount(3.0, "compute"))
    assert stages(found) == [(0, pytest.approx(L.error(4 / 0.35 - 3))), (1, None)]
    problem = ask([S, L], 1.2, None, budget=Amount(7.5, "compute"))
    found = route(problem, stage_at_least=Amount(3.0, "compute"))
    assert stages(found) == [(0, pytest.approx(S.error(4.5))), (1, None)]


def test_the_reason_is_the_rule_that_decided() -> None:
    def why(problem: Problem, **settings: Any) -> str:
        return route(problem, **settings).notes[0]

    assert "no switch saves more than it costs" in why(ask([S, L], 1.2, 0.25, credit=lambda p, q: 0.0))
    assert "shorter than `stage_at_least`" in why(ask([S, L], 1.2, 0.25), stage_at_least=Amount(12.0, "compute"))
    assert "reverses a one-way transition" in why(ask([S, L], 1.2, 0.25, allowed=lambda p, q: p > q))
    measured = [law(1, 1, 0.2, 0, (1.3, 0.5)), law(4, 1, 0, 0, (1.3, 0.25))]
    assert "was not measured" in why(ask(measured, 1.2, 0.25))
    assert "no other shape is cheaper" in why(ask([S, law(9, 1, 0.3)], 1.2, 0.5))


def test_a_budget_that_ends_before_the_start() -> None:
    late = law(1, 1, 0.2, -5.0)
    report = Report()
    assert Steepest().route(ask([late, L], 1.2, None, budget=Amount(3.0, "compute")), report) is None
    (error,) = report.diagnostics
    assert error.code == "no-way"
    assert error.message == "the budget ends before error 1.2, at which the plan starts"
    assert "after 3.333 FLOPs" in error.notes[0]
    assert route(ask([late, L], 1.2, None, budget=Amount(3.4, "compute")))
