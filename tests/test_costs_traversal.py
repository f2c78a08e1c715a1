"""Routes in a cost other than FLOPs: closed forms, and the properties of a traversal, with u units of cost per FLOP of
each shape. S and L are laws of FLOPs; a law p in another unit is p over compute times u."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_traversals import PATCH, L, P, Q, S, law, near, one_way, route, spent, two, way

from shapeflow.ir.law import Law
from shapeflow.ir.route import Problem
from shapeflow.traversals.bounds import InUnit
from shapeflow.traversals.envelope import greedy, total
from shapeflow.traversals.search import Way
from shapeflow.traversals.steepest import Steepest

TWICE = 0.2 * math.sqrt(2) / (math.sqrt(2) - 1)
"""Where the rates of S and L cross if a FLOP costs 2 in S and 1 in L."""
LEAST = 14.28427125
"""What the route from error 1.2 to .25 then costs."""


def costing(laws: Sequence[Law], units: Sequence[float]) -> list[InUnit]:
    return [InUnit(one, unit) for one, unit in zip(laws, units, strict=True)]


def rescaled(one: Law, unit: float) -> Law:
    """The same law over cost as a law of its own: (a u^b, b, c, d u)."""
    return law(one.a * unit**one.b, one.b, one.c, one.d * unit)


def in_seconds(units: Sequence[float], **more: object) -> Problem:
    """From error 1.2 to .25 over S and L, with `units` seconds per FLOP."""
    shapes = PATCH[:2]
    return attrs.evolve(
        two(target=0.25, steps=dict.fromkeys(shapes, 1.0)),
        unit="seconds",
        step_seconds=dict(zip(shapes, units, strict=True)),
        **more,
    )


@pytest.mark.parametrize("unit", [1.0, 3.0, 1e-9])
@pytest.mark.parametrize(("price", "expected", "stages"), [(0.0, 11, 2), (4.9, 15.9, 2), (5.1, 16, 1)])
def test_a_price_is_paid_if_it_is_less_than_the_saving(unit: float, price: float, expected: float, stages: int) -> None:
    """If a FLOP costs the same in both shapes, the plan switches for a price below 5 FLOPs, at .4."""
    found = way(costing([S, L], [unit, unit]), 1.2, 0.25, price=lambda p, q, error: unit * price)
    assert (found.total, len(found.stretches)) == (near(unit * expected), stages)
    if stages == 2:
        assert found.stretches[0].last == near(0.4)


@pytest.mark.parametrize(("price", "stages"), [(0.0, 2), (16 - LEAST - 1e-6, 2), (16 - LEAST + 1e-6, 1)])
def test_a_price_in_a_cost_that_is_not_compute(price: float, stages: int) -> None:
    """L alone costs 16, so that a switch pays up to 16 - 14.284. A price does not move it."""
    found = way(costing([S, L], [2, 1]), 1.2, 0.25, price=lambda p, q, error: price)
    assert (found.total, len(found.stretches)) == (near(min(LEAST + price, 16), 1e-8), stages)
    if stages == 2:
        assert found.stretches[0].last == near(TWICE)


def test_what_a_switch_undoes_is_paid_in_the_cost() -> None:
    """A switch that raises the error by a factor f costs L compute: 4 / E (1 - 1 / f), which is a credit of 1 / f,
    since L is 4 / C. For f = 1.21 the plan of FLOPs switches at 4 / 9 and takes 12.65289256; if a FLOP of S costs
    twice, the rates 2 / (E - .2)^2 and 4 / (1.21 E^2) cross earlier."""
    credit = 1 / 1.21
    found = route(Steepest(), attrs.evolve(in_seconds([1.0, 1.0]), credit=lambda p, q: credit))
    assert found.legs[0].until.error == near(4 / 9)
    assert _charged(found.legs[0].until.error, credit, 1.0) == near(12.65289256, 1e-8)
    assert _charged(0.4, credit, 1.0) == near(12.73553719, 1e-8)
    dear = route(Steepest(), attrs.evolve(in_seconds([2.0, 1.0]), credit=lambda p, q: credit))
    root = math.sqrt(2) / 1.1
    assert dear.legs[0].until.error == near(0.2 * root / (root - 1))
    nearby = [_charged(dear.legs[0].until.error * factor, credit, 2.0) for factor in (0.99, 1.0, 1.01)]
    assert nearby[1] == min(nearby) < 16


def _charged(error: float | None, credit: float, unit: float) -> float:
    """What a plan that switches from S to L at an error costs down to .25, `unit` for a FLOP of S."""
    assert error is not None
    return unit * S.compute(error) + L.compute(0.25) - credit * L.compute(error)


def test_an_early_crossing_that_a_cost_removes() -> None:
    """The rates of P and Q, 72/49 (E - 1/7)^-2 and 2 E^-3, cross twice. If a FLOP of P costs enough, Q is always the
    cheaper one, as E^3 / (E - 1/7)^2 is at least 27/28."""
    least = 2 / (72 / 49 * 27 / 28)
    assert [one.law for one in greedy(costing([P, Q], [0.99 * least, 1]), 4, 0.2)] == [1, 0, 1]
    assert [one.law for one in greedy(costing([P, Q], [1.01 * least, 1]), 4, 0.2)] == [1]


def test_one_way_in_a_cost() -> None:
    """If a FLOP costs half in both shapes, so does the route, with the same switch."""
    forth = way(costing([P, Q], [1, 1]), 4, 0.2, allowed=one_way(0, 1), from_nothing=False)
    half = way(costing([P, Q], [0.5, 0.5]), 4, 0.2, allowed=one_way(0, 1), from_nothing=False)
    assert (forth.total, half.total) == (near(67 / 3), near(67 / 6))
    assert [(one.law, one.last) for one in half.stretches] == [(one.law, near(one.last)) for one in forth.stretches]


costs_of_chance = st.lists(
    st.tuples(
        st.builds(law, st.floats(0.5, 50), st.floats(0.2, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.2)),
        st.floats(0.1, 10),
    ),
    min_size=1,
    max_size=6,
)
Drawn = list[tuple[Law, float]]


def bounds(drawn: Drawn) -> tuple[float, float]:
    """Errors at which routes over some laws start and end."""
    return 1.5, max(min(one.c for one, _ in drawn) + 0.05, 0.1)


def priced(drawn: Drawn, price: float, end: float, **rules: Any) -> Way:
    """The cheapest route to an error for a price of each switch."""
    return way(costing(*zip(*drawn, strict=True)), 1.5, end, price=lambda p, q, error: price, **rules)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(costs_of_chance)
def test_no_fixed_shape_costs_less(drawn: Drawn) -> None:
    start, target = bounds(drawn)
    assume(all(one.compute(start) >= 0 for one, _ in drawn))
    laws = costing(*zip(*drawn, strict=True))
    best = spent(greedy(laws, start, target))
    fixed = [one.compute(target) - one.compute(start) for one in laws if one.floor < target]
    assert best <= min(fixed) * (1 + 1e-9)
    searched = way(laws, start, target, from_nothing=False)
    assert searched.total == pytest.approx(best, rel=1e-8)
    # Integral of the least rate, on a fine grid of log(E - floor): nothing is cheaper if switches are free.
    floor = min(one.floor for one in laws)
    ratio = ((target - floor) / (start - floor)) ** (1 / 2000)
    edges = [floor + (start - floor) * ratio**place for place in range(2001)]
    cells = (
        min(math.exp(one.log_rate(0.5 * (high + low))) for one in laws) * (high - low) for high, low in pairwise(edges)
    )
    assert best == pytest.approx(math.fsum(cells), rel=1e-3)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(costs_of_chance, st.lists(st.floats(0, 100), min_size=2, max_size=2))
def test_totals_do_not_fall_and_are_concave_in_the_price(drawn: Drawn, prices: list[float]) -> None:
    low, high = sorted(prices)
    _, target = bounds(drawn)
    totals = [priced(drawn, price, target).total for price in (0.0, low, 0.5 * (low + high), high)]
    assert all(less <= more * (1 + 1e-9) for less, more in pairwise(totals))
    assert totals[2] >= 0.5 * (totals[1] + totals[3]) * (1 - 1e-9)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(costs_of_chance, st.floats(1e-3, 1e6), st.floats(0.5, 100), st.permutations(range(6)))
def test_scales_and_names_of_laws_do_not_matter(drawn: Drawn, k: float, m: float, order: list[int]) -> None:
    start, target = bounds(drawn)
    laws, units = zip(*drawn, strict=True)
    plain = greedy(costing(laws, units), start, target)
    cost = total(costing(laws, units), plain)
    errors = [one.last for one in plain]

    def same(found: list[Law] | list[InUnit], factor: float = 1.0, higher: float = 1.0) -> None:
        stages = greedy(found, start * higher, target * higher)
        assert [one.last for one in stages] == pytest.approx([error * higher for error in errors], rel=1e-6)
        assert total(found, stages) == pytest.approx(factor * cost, rel=1e-6, abs=1e-9)

    same([rescaled(one, unit) for one, unit in drawn])
    same([InUnit(*drawn[at]) for at in order if at < len(drawn)])
    same(costing([rescaled(one, k) for one in laws], units), k)
    same(costing(laws, [k * unit for unit in units]), k)
    same(costing([law(one.a * m, one.b, one.c * m, one.d) for one in laws], units), higher=m)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(costs_of_chance, st.floats(0, 10))
def test_more_laws_and_more_switches_never_cost_more(drawn: Drawn, price: float) -> None:
    _, target = bounds(drawn[:1])
    for paid in (0.0, price):
        free = priced(drawn, paid, target).total
        assert free <= priced(drawn[:-1] or drawn, paid, target).total * (1 + 1e-9)
        for forbidden in ((0, len(drawn) - 1), (len(drawn) - 1, 0)):
            fewer = priced(drawn, paid, target, allowed=lambda p, q, never=forbidden: (p, q) != never)
            assert free <= fewer.total * (1 + 1e-9)
