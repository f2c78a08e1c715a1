"""The plan in the units that it is not compared by: FLOPs next to seconds, and what its time costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import cost
from shapeflow.ir.plan import Charge, Plan
from shapeflow.preview.curves import all_curves, curves_view
from shapeflow.preview.figure import Axis
from shapeflow.preview.numbers import duration, flops
from shapeflow.preview.path_figure import path_figure
from shapeflow.preview.units import units_view
from shapeflow.report.chart import chart, pair
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import html_of, table

COINS = {"energy": "energy", "carbon": "emissions", "money": "price"}
"""Dimension of a cost -> what its axis is called."""


def costs_section(plan: Plan, other: Plan | None) -> Markup:
    """What the plan and the fixed shapes take to its final error in every unit that is known, and the path in the units
    that the answer does not count; nothing for a plan without a profile or without laws. `other`: the best plan to the
    same error by the other unit."""
    if plan.totals.seconds is None or plan.totals.error is None or plan.answer is None:
        return NOTHING
    title = "Compute, time and cost" if _coin(plan) else "Compute and time"
    turned = attrs.evolve(plan, answer=attrs.evolve(plan.answer, unit="compute" if plan.in_seconds else "seconds"))
    figures = [join(node("h3", name), one) for name, one in _paths(plan, turned)]
    parts = [node("h2", title), table("To the final error of the plan", *_at_end(plan))]
    parts += [] if other is None else [html_of(units_view(plan, other), "Plans by FLOPs and by seconds")]
    return join(*parts, pair(*figures), html_of(curves_view(turned), "Savings by target in the other unit"))


def _coin(plan: Plan) -> Charge | None:
    """The price of the plan's time, if it minimises energy, emissions or money."""
    return plan.charge if plan.charge is not None and plan.charge.per_second is not None else None


def _at_end(plan: Plan) -> tuple[list[str], list[list[str]], list[bool]]:
    fixed = (plan.comparison.best_fixed.shape, plan.comparison.last_shape_fixed.shape)
    coin = _coin(plan)
    rows = [["the plan", "", *_amounts(plan.totals.compute, plan.totals.seconds, coin)]]
    for name, shape in zip(("best fixed shape", "last shape, fixed"), fixed, strict=True):
        if shape is not None:
            rows.append([name, shape.written(plan.units), *_amounts(*_needs(plan, shape), coin)])
    headings = ["to the final error", "shape", "compute", "time", *(["cost"] if coin else [])]
    return headings, rows, [False, False, *[True] * (len(headings) - 2)]


def _needs(plan: Plan, shape: Shape) -> tuple[float | None, float | None]:
    """FLOPs and seconds of a fixed shape to the final error of the plan, by its law; None if it never reaches it."""
    one = next((one for one in plan.candidates if one.shape == shape), None)
    need = math.inf if one is None or one.law is None else one.law.compute(plan.totals.error or 0.0)
    if one is None or not 0 < need < math.inf:
        return None, None
    return need, None if one.pace is None else need * one.pace


def _amounts(compute: float | None, seconds: float | None, coin: Charge | None) -> Iterator[str]:
    yield "-" if compute is None else flops(compute)
    yield "-" if seconds is None else duration(seconds, 4)
    if coin is not None:
        amount = None if seconds is None else coin.of(seconds)
        yield "-" if amount is None else cost(amount, coin.dimension)


def _paths(plan: Plan, turned: Plan) -> Iterator[tuple[str, Markup]]:
    """The path over the unit that the plan is not compared by, and over what it minimises."""
    if curves := all_curves(turned):
        yield ("Over time" if turned.in_seconds else "Over compute"), chart(path_figure(turned, curves))
    coin = _coin(plan)
    timed = plan if plan.in_seconds else turned
    if coin is not None and (curves := all_curves(timed)):
        yield f"Over {COINS[coin.dimension]}", chart(path_figure(timed, curves, _coin_axis))


def _coin_axis(plan: Plan, low: float, high: float) -> tuple[Axis, float]:
    """The axis of what the time costs, and how many seconds one of its units pays for."""
    coin = plan.charge
    assert coin is not None
    assert coin.per_second is not None
    unit = cost(high * coin.per_second, coin.dimension).partition(" ")[2]
    amount = float(cost(high * coin.per_second, coin.dimension, 17).partition(" ")[0])
    size = high / amount
    return Axis(f"{COINS[coin.dimension]}, {unit}", low / size, high / size, log=True, unit=unit), size
