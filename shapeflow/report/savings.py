"""What the plan saves: over budgets, against both fixed shapes, and with the intervals of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shapeflow.ir.answer import SavedAt
from shapeflow.ir.plan import Comparator, Plan
from shapeflow.preview.curves import curves_view, reached, savings, targets, unit_of
from shapeflow.preview.figure import PLAN, Axis, Band, Figure, Layer, Line, scaled
from shapeflow.preview.numbers import duration, flops, percent
from shapeflow.preview.plan_axes import compute_axis
from shapeflow.preview.shares import interval
from shapeflow.report.chart import chart
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import html_of, table

LOWEST = -1.0
"""The lowest saving of the chart: a plan that needs twice as much."""


def savings_section(plan: Plan, saved: Sequence[SavedAt] = ()) -> Markup:
    """The savings, or why there are none to show; nothing for a plan without laws. `saved`: their intervals, where they
    are known."""
    if plan.totals.error is None:
        return NOTHING
    parts = [node("h2", "What it saves"), table("Savings at the end", *_at_end(plan)), _over_budgets(plan, saved)]
    return join(*parts, html_of(curves_view(plan), "Savings by target"))


def _at_end(plan: Plan) -> tuple[list[str], list[list[str]], list[bool]]:
    """The comparators at the plan's final error. Savings of laws that cannot answer are not shown."""
    found = plan.answer
    ranges = (None, None) if found is None else (found.best, found.last)
    names = ("best fixed shape", "last shape, fixed")
    rows = []
    for name, one, wide in zip(
        names, (plan.comparison.best_fixed, plan.comparison.last_shape_fixed), ranges, strict=True
    ):
        shape = "-" if one.shape is None else one.shape.written(plan.units)
        known = found is not None and not found.doubts
        saving = percent(one.saving) if known else "not known"
        between = "-" if wide is None or found is None or found.stated else interval(wide)
        rows.append([name, shape, _needs(plan, one), saving, between])
    headings = ["against", "shape", "needs by its law", "saving", "median and 90% interval"]
    return headings, rows, [False, False, True, True, True]


def _needs(plan: Plan, one: Comparator) -> str:
    if plan.in_seconds:
        return one.reason or "-" if one.seconds is None else duration(one.seconds, 4)
    return one.reason or "-" if one.compute is None else flops(one.compute)


def _over_budgets(plan: Plan, saved: Sequence[SavedAt]) -> Markup:
    """The saving at each budget up to that of the plan."""
    curve = reached(plan)
    if len(curve.points) < 2:
        return NOTHING
    floor = max(targets(plan, curve))
    rows = savings(plan, [value for _, value in curve.points if value <= floor])
    begin = min((float(row["plan"]) for row in rows), default=0.0)
    saved = [one for one in saved if one.budget >= begin]
    # Laws that cannot answer have no saving of their own, but an interval.
    lines = list(_lines(rows)) or list(_medians(saved))
    if not lines:
        return NOTHING
    xs, ys = ([pair[part] for line in lines for pair in line.points] for part in (0, 1))
    ys += [each for one in saved for each in (one.best.low, one.best.high, one.last.low, one.last.high)]
    if not max(xs) > min(xs):
        return NOTHING
    x, size = compute_axis(plan, min(xs), max(xs))
    x = Axis(f"budget: {x.label}", x.low, x.high, log=True)
    y = Axis("saving", min(0.0, max(min(ys), LOWEST)) - 0.03, max(0.0, *ys) + 0.03, share=True)
    drawn: list[Layer] = [*_bands(saved, y.low, y.high), *lines]
    layers: list[Layer] = [scaled(one, size) for one in drawn]
    caption = f"What the plan saves of the {unit_of(plan)} that a fixed shape needs for the same {plan.metric}."
    return chart(Figure("Saving of the plan over budgets", x, y, layers, caption))


def _medians(saved: Sequence[SavedAt]) -> Iterator[Line]:
    for name, color, dash in (("best", PLAN, 0), ("last", 7, 1)):
        points = [(one.budget, max(LOWEST, getattr(one, name).middle)) for one in saved]
        if points:
            yield Line(f"median, against the {name}", points, color, dash)


def _bands(saved: Sequence[SavedAt], low: float, high: float) -> Iterator[Band]:
    """The intervals, as far as they are on the chart."""
    for name, color in (("best", PLAN), ("last", 7)):
        ranges = [(one.budget, getattr(one, name)) for one in saved]
        points = [(at, max(low, one.low), min(high, max(low, one.high))) for at, one in ranges]
        if points:
            yield Band(f"90% interval, against the {name}", points, color)


def _lines(rows: list[dict[str, object]]) -> Iterator[Line]:
    for key, name, color, dash in (
        ("best_fixed", "against the best fixed shape of each budget", PLAN, 0),
        ("last_shape_fixed", "against the last shape, fixed", 7, 1),
    ):
        points = []
        for row in rows:
            saving = row[key]["saving"]  # type: ignore[index]
            if saving is not None:
                points.append((float(row["plan"]), float(saving)))  # type: ignore[arg-type]
        if points:
            yield Line(name, points, color, dash)
