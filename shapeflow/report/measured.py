"""What was measured: a run against its prediction, and a comparison of the plan with its rivals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import PurePath

from shapeflow.ir.plan import Plan
from shapeflow.preview.comparison import comparison_details, verdict
from shapeflow.preview.curves import along
from shapeflow.preview.figure import PLAN, Band, Dots, Figure, Layer, Line, scaled
from shapeflow.preview.law_figures import SPACE
from shapeflow.preview.numbers import duration, error, flops
from shapeflow.preview.path_figure import band_of
from shapeflow.preview.plan_axes import errors_axis, flops_axis, time_axis
from shapeflow.preview.predictions import predictions_view
from shapeflow.preview.run import last_lines, measured_lines, stage_table
from shapeflow.preview.standing import group_view, standing_lines, state_words
from shapeflow.report.chart import chart
from shapeflow.report.laws import thinned_pairs
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import html_of, paragraph
from shapeflow.running.rivals import Compared
from shapeflow.running.rivals.results import seconds_to, step_times
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
    """The measured values over compute, or over the time that the plan predicts, with what it predicted for them."""
    plan, metric = run.plan, run.plan.metric
    measured = _curve(run, metric, partial(along, plan))
    if not measured:
        return NOTHING
    known = [(one.compute, one.predicted) for one in run.measured if one.predicted is not None and one.compute]
    expected = [(along(plan, compute), predicted) for compute, predicted in known]
    said = duration if plan.in_seconds else flops
    titles = [f"measured: {error(value, metric)} after {said(at)}" for at, value in measured]
    layers: list[Layer] = [*band_of(plan), Dots("measured", measured, 0, titles)]
    layers += [Line("predicted", expected, PLAN)] if expected else []
    caption = "Time as the profile predicts it, not as it was." if plan.in_seconds else ""
    return _over(f"{metric} of the run, predicted and measured", plan, layers, plan.in_seconds, metric, caption)


def _curve(run: Run, metric: str, place: Callable[[float], float]) -> list[tuple[float, float]]:
    """(place, value) of the measurements that can be drawn, thinned. `place`: of some FLOPs on the axis."""
    points = [(place(at), value) for at, _, value in run.curve(metric) if at > 0 and math.isfinite(value)]
    return thinned_pairs([pair for pair in points if pair[0] > 0])


def _over(name: str, plan: Plan, layers: Sequence[Layer], seconds: bool, metric: str, caption: str) -> Markup:
    """A chart over FLOPs, or over seconds."""
    pairs = [pair for layer in layers if not isinstance(layer, Band) for pair in layer.points]
    xs, ys = [at for at, _ in pairs], [value for _, value in pairs]
    low, high = min(xs) / SPACE, max(xs) * SPACE
    x, size = time_axis(low, high) if seconds else flops_axis(plan.convention, low, high)
    y = errors_axis(metric, min(ys), max(ys))
    return chart(Figure(name, x, y, [scaled(one, size) for one in layers], caption))


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
    """The measured curves of the plan and its rivals with the first seed, down to the target, over what is compared."""
    layers = list(_curves(found))
    if not layers:
        return NOTHING
    xs = [at for layer in layers for at, _ in layer.points]
    target = Line("target", [(min(xs), found.target), (max(xs), found.target)], 7, 1)
    name, seconds = f"{found.metric} of the plan and its rivals", found.unit == "seconds"
    caption = "A step of a shape counts the same time in all runs." * seconds
    return _over(name, plan, [*layers, target], seconds, found.metric, caption)


def _curves(found: Compared) -> Iterator[Line]:
    runs = {folder.name: run for folder, run in found.runs.items()}
    times = step_times(list(found.runs.values())) if found.unit == "seconds" else {}
    for color, one in enumerate(found.results[:MOST]):
        run = runs.get(PurePath(one.runs[0]).name) if one.runs and one.same is None else None
        if run is None:
            continue
        points = _curve(run, found.metric, partial(seconds_to, run, times=times) if times else float)
        if points:
            yield Line(one.what, points, PLAN if color == 0 else color - 1, heavy=color == 0)
