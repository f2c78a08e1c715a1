"""The figure of a plan: its predicted path on the laws of its candidates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.preview.curves import Curve, along, place
from shapeflow.preview.figure import PLAN, Axis, Band, Dots, Figure, Layer, Line, scaled
from shapeflow.preview.intervals import basis
from shapeflow.preview.numbers import error
from shapeflow.preview.plan_axes import compute_axis, errors_axis, spaced
from shapeflow.preview.shape_colors import Drawn, drawn


def band_of(plan: Plan) -> Iterator[Band]:
    """The interval of the plan's error over the run; nothing for a plan without one."""
    found = plan.uncertainty
    if found is not None and found.band:
        yield Band(basis(found), [(along(plan, at), low, high) for at, low, high in found.band], PLAN)


def switches_of(plan: Plan) -> Iterator[tuple[float, float, str]]:
    """(place, error, what changes) of each switch."""
    for before, stage in itertools.pairwise(plan.stages):
        if stage.enter.compute and stage.enter.error is not None:
            moved = Shape.of({axis: stage.shape[axis] for axis in before.shape.changed(stage.shape)})
            yield place(plan, stage.enter), stage.enter.error, moved.written(plan.units)


def path_figure(
    plan: Plan,
    curves: Sequence[Curve],
    axis: Callable[[Plan, float, float], tuple[Axis, float]] = compute_axis,
) -> Figure:
    """The path of the plan on its laws. `curves`: those of the plan and of the fixed shapes. `axis`: what it is drawn
    over, and its unit in FLOPs or seconds."""
    end = place(plan, plan.stages[-1].leave)
    own = curves[0].points
    start, last = plan.stages[0].enter.error or own[0][1], plan.totals.error or own[-1][1]
    seen = [at for at, value in own if value <= start]
    x, size = axis(plan, 0.7 * max(min(seen, default=end), end / 1000), 1.6 * end)
    y = errors_axis(plan.metric, min(last, *(value for _, value in own)), max(start, last))
    lines = [_law_line(one, x.low * size, x.high * size) for one in drawn(plan)]
    fixed = [Line(one.label[:80], one.points, 7, dash) for dash, one in enumerate(curves[1:], 1)]
    dots = list(switches_of(plan))
    titles = [f"{name}: at {at / size:.4g} {x.unit}, {error(value, plan.metric)}" for at, value, name in dots]
    marks = [Dots("switch", [(at, value) for at, value, _ in dots], PLAN, titles, 4.0)] if dots else []
    layers: list[Layer] = [*band_of(plan), *lines, *fixed, Line("the plan", own, PLAN, heavy=True), *marks]
    caption = f"{plan.metric} over {x.label.partition(',')[0]}: the laws of the candidates, and the path of the plan."
    name = f"The path of the plan on its laws over {x.unit}"
    return Figure(name, x, y, [scaled(one, size) for one in layers], caption)


def _law_line(one: Drawn, low: float, high: float) -> Line:
    points = [(at, one.law.error(at / one.pace)) for at in spaced(low, high)]
    return Line(one.name, [pair for pair in points if math.isfinite(pair[1])], one.color)
