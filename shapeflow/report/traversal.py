"""The traversal: the plan's path over compute, and the laws as paper A (Fig. 3) draws them: inverse and rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shapeflow.ir.plan import Plan
from shapeflow.preview.curves import all_curves, place, scale_of
from shapeflow.preview.figure import PLAN, Axis, Dots, Figure, Line
from shapeflow.preview.path_figure import path_figure
from shapeflow.preview.plan_axes import PIECES, errors_axis
from shapeflow.preview.shape_colors import Drawn, drawn
from shapeflow.report.chart import chart, pair
from shapeflow.report.markup import NOTHING, Markup, join, node


def traversal_section(plan: Plan) -> Markup:
    """The path on the laws, the inverse and the rate; a sentence for a plan without laws."""
    title, curves = node("h2", "The traversal"), all_curves(plan)
    if not curves:
        return join(title, node("p", "Nothing is predicted: the plan has no laws."))
    figures = list(_inverse_and_rate(plan))
    return join(title, chart(path_figure(plan, curves)), pair(*figures) if figures else NOTHING)


def _inverse_and_rate(plan: Plan) -> Iterator[Markup]:
    """Compute, and compute per unit of error, as functions of the error. The lowest rate is the best shape there."""
    errors = [value for stage in plan.stages for value in (stage.enter.error, stage.leave.error) if value is not None]
    if len(errors) < 2 or not max(errors) > min(errors):
        return
    low, high = min(errors), max(errors)
    grid = [low + (high - low) * piece / PIECES for piece in range(PIECES + 1)]
    unit, size = scale_of(plan, place(plan, plan.stages[-1].leave))
    what = "time" if plan.in_seconds else "compute"
    x = Axis(plan.metric, high, low, share=errors_axis(plan.metric, low, high).share)
    laws = drawn(plan)
    inverse = [_over_errors(one, grid, size, rate=False) for one in laws]
    rates = [_over_errors(one, grid, size, rate=True) for one in laws]
    at = {one.shape: one for one in laws}
    marks = [
        (error_, at[stage.shape]) for stage in plan.stages[1:] if (error_ := stage.enter.error) and stage.shape in at
    ]
    yield from _drawn(x, f"{what} C(E), {unit}", inverse, _marks(marks, size, False), "Inverse", INVERSE)
    yield from _drawn(x, f"|dC/dE|, {unit} per unit", rates, _marks(marks, size, True), "Rate", RATE)


INVERSE = "What each shape needs, alone, to reach an error. The error falls from left to right."
RATE = (
    "What each shape needs per unit of error, with its sign changed. The lowest line is the best shape at this error."
)


def _value(one: Drawn, error_: float, size: float, rate: bool) -> float:
    if not rate:
        return one.law.compute(error_) * one.pace / size
    power = one.law.log_rate(error_) + math.log(one.pace / size)
    return math.exp(power) if power < 700 else math.inf


def _over_errors(one: Drawn, grid: Sequence[float], size: float, *, rate: bool) -> Line:
    points = [(at, _value(one, at, size, rate)) for at in grid]
    return Line(one.name, [pair for pair in points if 0 < pair[1] < math.inf], one.color)


def _marks(marks: Sequence[tuple[float, Drawn]], size: float, rate: bool) -> list[Dots]:
    known = [(at, value, one.name) for at, one in marks if 0 < (value := _value(one, at, size, rate)) < math.inf]
    if not known:
        return []
    titles = [f"switch to {name}" for _, _, name in known]
    return [Dots("switch", [(at, value) for at, value, _ in known], PLAN, titles, 4.0)]


def _drawn(
    x: Axis, label: str, lines: Sequence[Line], marks: Sequence[Dots], name: str, caption: str
) -> Iterator[Markup]:
    values = [value for line in lines for _, value in line.points]
    if values and max(values) > min(values):
        y = Axis(label, min(values), max(values), log=True)
        yield join(node("h3", name), chart(Figure(f"{name} of the laws", x, y, [*lines, *marks], caption)))
