"""What was measured: a run against its prediction, and a comparison of the plan with its rivals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from shapeflow.ir.plan import Plan
from shapeflow.preview.comparison import comparison_details, verdict
from shapeflow.preview.figure import PLAN, Band, Dots, Figure, Layer, Line, scaled
from shapeflow.preview.law_figures import SPACE
from shapeflow.preview.numbers import error, flops
from shapeflow.preview.path_figure import band_of
from shapeflow.preview.plan_axes import errors_axis, flops_axis
from shapeflow.preview.predictions import predictions_view
from shapeflow.preview.run import last_lines, measured_lines, stage_table
from shapeflow.preview.standing import group_view, standing_lines, state_words
from shapeflow.report.chart import chart
from shapeflow.report.laws import thinned_pairs
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import html_of, paragraph
from shapeflow.running.rivals import Compared
from shapeflow.running.runs import Run
from shapeflow.running.standing import Group, Standing

MOST = 12
"""Curves of a comparison that are drawn."""


def state_of(one: Standing) -> Markup:
    """What a run does, or how it ended: the first line of a report about it."""
    lines = [f"The run: {state_words(one)}", *standing_lines(one), *measured_lines(one.run)]
    return node("div", *map(paragraph, lines), class_="state")


def state_of_group(group: Group) -> Markup:
    """The first lines of a report about runs that have no result yet."""
    head = paragraph("There is no result yet: no comparison.json is in the folder.")
    return node("div", head, html_of(group_view(group), "Runs"), class_="state")


def run_section(one: Standing, *, first: bool) -> Markup:
    """Predicted against measured, drawn and by stage. `first`: it is the first run of a comparison."""
    run = one.run
    said = [] if first else list(measured_lines(run))
    lines = [paragraph(line) for line in last_lines(run) if line not in said]
    title = f"The plan's run of seed {run.plan.seed}" if first else "The run"
    parts = [
        node("h2", f"{title}, predicted and measured"),
        *([paragraph(state_words(one))] if first else ()),
        _run_chart(run),
        html_of(stage_table(run), "Values by stage"),
    ]
    return join(*parts, *lines)


def _run_chart(run: Run) -> Markup:
    """The measured values over compute, with what the plan predicted for them."""
    plan, metric = run.plan, run.plan.metric
    measured = _curve(run, metric)
    if not measured:
        return NOTHING
    expected = [(one.compute, one.predicted) for one in run.measured if one.predicted is not None and one.compute]
    dots = _dots("measured", measured, plan, 0)
    layers: list[Layer] = [*(band_of(plan) if not plan.in_seconds else ()), dots]
    layers += [Line("predicted", expected, PLAN)] if expected else []
    return _over_compute(f"{metric} of the run, predicted and measured", plan, layers)


def _curve(run: Run, metric: str) -> list[tuple[float, float]]:
    """(FLOPs, value) of the measurements that can be drawn, thinned."""
    points = [(at, value) for at, _, value in run.curve(metric) if at > 0 and math.isfinite(value)]
    return thinned_pairs(points)


def _dots(label: str, points: Sequence[tuple[float, float]], plan: Plan, color: int) -> Dots:
    titles = [f"{label}: {error(value, plan.metric)} after {flops(at)}" for at, value in points]
    return Dots(label, points, color, titles)


def _over_compute(name: str, plan: Plan, layers: Sequence[Layer], metric: str | None = None) -> Markup:
    """A chart over FLOPs, also for a plan that is compared by seconds. `metric`: if it is not that of the plan."""
    pairs = [pair for layer in layers if not isinstance(layer, Band) for pair in layer.points]
    xs, ys = [at for at, _ in pairs], [value for _, value in pairs]
    x, size = flops_axis(plan.convention, min(xs) / SPACE, max(xs) * SPACE)
    y = errors_axis(metric or plan.metric, min(ys), max(ys))
    return chart(Figure(name, x, y, [scaled(one, size) for one in layers]))


def verdict_of(found: Compared) -> Markup:
    """What a comparison measured, in one sentence."""
    return node("p", verdict(found), class_="answer")


def comparison_section(found: Compared, plan: Plan) -> Markup:
    """The runs drawn, what each way needed, and predicted against measured values."""
    shown = html_of(comparison_details(found, plan), "Comparison")
    parts = [node("h2", "The comparison"), _ways(found, plan), shown]
    left = [paragraph(one.note.message) for one in found.left]
    if plan.answer is not None and found.predictions:
        title = node("h2", "Predicted against measured")
        left += [title, html_of(predictions_view(found.predictions, plan), "Predicted and measured values")]
    return join(*parts, *left)


def _ways(found: Compared, plan: Plan) -> Markup:
    """The measured curves of the plan and its rivals with the first seed, down to the target."""
    layers = list(_curves(found))
    if not layers:
        return NOTHING
    xs = [at for layer in layers for at, _ in layer.points]
    target = Line("target", [(min(xs), found.target), (max(xs), found.target)], 7, 1)
    return _over_compute(f"{found.metric} of the plan and its rivals", plan, [*layers, target], found.metric)


def _curves(found: Compared) -> Iterator[Line]:
    runs = {folder.name: run for folder, run in found.runs.items()}
    for color, one in enumerate(found.results[:MOST]):
        run = runs.get(PurePath(one.runs[0]).name) if one.runs and one.same is None else None
        points = [] if run is None else _curve(run, found.metric)
        if points:
            yield Line(one.what, points, PLAN if color == 0 else color - 1, heavy=color == 0)
