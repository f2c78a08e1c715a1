"""`steepest` over many candidates: bounds leave out only what the full search does not use."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import attrs
import numpy as np
import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import Problem, Route
from shapeflow.traversals import envelope, limit, question
from shapeflow.traversals.bounds import Budget
from shapeflow.traversals.order import Order
from shapeflow.traversals.search import Way
from shapeflow.traversals.steepest import Steepest

FORTH = ("width", "depth")


def law(width: int, depth: int, jitter: float) -> Law:
    size = 12 * width * width * depth
    known = Provenance(source="stated", metric="loss", convention="flops")
    return Law(410.7 * (6 * size) ** 0.28, 0.28 * jitter, 1.69 + 406.4 / size**0.34, 0.0, known)


def problem(seed: int, **more: Any) -> Problem:
    """100 candidates on two axes, with exponents that differ a little."""
    drawn = random.Random(seed)
    shapes = [Shape.of(width=64 * w, depth=2 * d) for w, d in itertools.product(range(1, 11), range(1, 11))]
    laws = {shape: law(shape.number("width"), shape.number("depth"), drawn.uniform(0.99, 1.01)) for shape in shapes}
    settings = {"start": 7.0, "target": None, "budget": Amount(3e18, "compute"), "one_way": frozenset(FORTH), **more}
    one_way = settings["one_way"]
    return Problem(
        candidates=tuple(shapes),
        laws=laws,
        units={},
        step_compute=None,
        allowed=lambda before, after: all(after.number(axis) >= before.number(axis) for axis in one_way),
        credit=lambda before, after: settings["credits"][0] if "credits" in settings else 1.0,
        spans={},
        previewed=False,
        **settings if "credits" in settings else {**settings, "credits": (1.0, 1.0)},
    )


def route(asked: Problem, least: float = 0.0) -> Route:
    found = Steepest(stage_at_least=Amount(least, "ratio") if least else None).route(asked, Report())
    assert found is not None
    return found


def way_of(asked: Problem) -> Way:
    budget = None if asked.budget is None else Budget(asked.budget.value, (1.0,) * len(asked.candidates))
    laws = [asked.laws[shape] for shape in asked.candidates]
    asking = question.Question(asked, laws, asked.start or 0.0, budget, [0.0] * len(laws))
    found = asking.answer(asking.rules(), False)
    assert found is not None
    return found


CASES: list[dict[str, Any]] = [
    {},
    {"one_way": frozenset()},
    {"one_way": frozenset(["width"])},
    {"credits": (0.7, 0.7)},
    {"target": 3.4, "budget": None},
]


@pytest.mark.parametrize("more", CASES, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_do_not_change_the_plan(seed: int, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem(seed, **more)
    bounded = route(asked)
    for module in (question, envelope):
        monkeypatch.setattr(module, "FEW", 10_000)
    assert bounded == route(asked)


@pytest.mark.parametrize("slower", [1.0, 3.0])
@pytest.mark.parametrize("delay", [3e2, 1e4])
def test_bounds_count_the_seconds_of_switches(slower: float, delay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per FLOP, the narrowest shapes take `slower` times as long as the widest."""
    plain = problem(0, budget=Amount(3e5, "seconds"))
    seconds = {shape: 1e-13 * slower ** (1 - shape.number("width") / 640) for shape in plain.candidates}
    asked = attrs.evolve(
        plain,
        unit="seconds",
        step_compute=dict.fromkeys(plain.candidates, 1.0),
        step_seconds=seconds,
        switch_seconds=lambda before, after: delay,
    )
    bounded = route(asked)
    for module in (question, envelope):
        monkeypatch.setattr(module, "FEW", 10_000)
    assert bounded == route(asked)
    free = route(attrs.evolve(asked, switch_seconds=lambda before, after: 0.0))
    assert len(bounded.legs) < len(free.legs) + (delay < 1e4)


def test_bounds_keep_to_shortest_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = route(problem(0), 0.05)
    for module in (question, envelope):
        monkeypatch.setattr(module, "FEW", 10_000)
    assert bounded == route(problem(0), 0.05)


def test_bounds_leave_candidates_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    cheapest = question.cheapest

    def counted(laws: Any, *more: Any) -> Any:
        seen.append(len(laws))
        return cheapest(laws, *more)

    monkeypatch.setattr(question, "cheapest", counted)
    monkeypatch.setattr(question, "ENOUGH", 0)
    route(problem(0))
    assert max(seen) < 60


def test_too_many_to_search_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem(0)
    exact = route(asked)
    monkeypatch.setattr(question, "SEARCHED", 1)
    found = route(asked)
    (note,) = [one for one in found.notes if "too many" in one]
    assert "above the least possible" in note
    assert not any("too many" in one for one in exact.notes)


FREE_STAGES = {"one_way": frozenset[str]()}
"""With stages of a least length, each stage allows two switches to each shape, and each of these a stage."""


@pytest.mark.parametrize("more", [{}, {"credits": (0.7, 0.7)}], ids=str)
def test_routes_that_are_left_out_do_not_change_the_plan(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem(1, **more)
    monkeypatch.setattr(limit, "FEW", 0)
    few = route(asked, 0.05)
    monkeypatch.setattr(limit, "FEW", limit.MOST)
    assert few == route(asked, 0.05)


def test_too_many_routes_end_with_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, this search takes hours."""
    monkeypatch.setattr(limit, "MOST", 50_000)
    (note,) = [one for one in route(problem(0, **FREE_STAGES), 0.05).notes if "too many routes" in one]
    assert float(note.split("at most ")[1].split()[0]) < 1e-3


@pytest.mark.parametrize("more", [{}, {"target": 3.4, "budget": None}], ids=str)
def test_the_bound_of_a_search_that_ended_holds(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem(0, **more)
    exact = way_of(asked)
    monkeypatch.setattr(limit, "MOST", 0)
    found = way_of(asked)
    assert found.cut
    assert not exact.cut
    assert found.on_target == exact.on_target
    value = [way.total if way.on_target else way.stretches[-1].last for way in (found, exact)]
    assert 1 < value[0] / value[1] <= 1 + found.above < 1.1


def test_minima_over_an_order() -> None:
    shapes = [Shape.of(width=w, patch=p) for w in (1, 2) for p in (4, 2)]
    order = Order.of(shapes, ["width"])
    values = np.array([4.0, 3.0, 2.0, 1.0])
    assert order.below(values).tolist() == [3, 3, 1, 1]
    assert order.above(values).tolist() == [1, 1, 1, 1]
    assert order.below_others(values).tolist() == [3, 4, 1, 2]
    assert order.only(np.array([0, 2])).below_others(values[[0, 2]]).tolist() == [float("inf"), 4]


def test_many_candidates_take_seconds() -> None:
    shapes = [Shape.of(width=64 * w, depth=2 * d) for w, d in itertools.product(range(1, 25), range(1, 25))]
    laws = {shape: law(shape.number("width"), shape.number("depth"), 1.0) for shape in shapes}
    begun = time.process_time()
    route(attrs.evolve(problem(0), candidates=tuple(shapes), laws=laws))
    assert time.process_time() - begun < 10
