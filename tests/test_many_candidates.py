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
from shapeflow.traversals import envelope, question
from shapeflow.traversals.order import Order
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


def test_minima_over_an_order() -> None:
    shapes = [Shape.of(width=w, patch=p) for w in (1, 2) for p in (4, 2)]
    order = Order.of(shapes, ["width"])
    values = np.array([4.0, 3.0, 2.0, 1.0])
    assert order.below(values).tolist() == [3, 3, 1, 1]
    assert order.above(values).tolist() == [1, 1, 1, 1]
    assert order.below(values, strictly=True).tolist() == [3, 4, 1, 2]
    assert order.only(np.array([0, 2])).below(values[[0, 2]], strictly=True).tolist() == [float("inf"), 4]


def test_many_candidates_take_seconds() -> None:
    shapes = [Shape.of(width=64 * w, depth=2 * d) for w, d in itertools.product(range(1, 25), range(1, 25))]
    laws = {shape: law(shape.number("width"), shape.number("depth"), 1.0) for shape in shapes}
    begun = time.process_time()
    route(attrs.evolve(problem(0), candidates=tuple(shapes), laws=laws))
    assert time.process_time() - begun < 10
