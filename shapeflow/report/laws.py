"""The laws with the points that they were fitted to, and the residuals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.plan import Plan
from shapeflow.preview.figure import Axis, Band, Dots, Figure, Layer, Line, scaled
from shapeflow.preview.fit import factor
from shapeflow.preview.law_bands import law_bands
from shapeflow.preview.numbers import error, flops
from shapeflow.preview.plan_axes import compute_axis, errors_axis, spaced
from shapeflow.preview.shape_colors import MOST, Drawn, drawn
from shapeflow.report.chart import chart, pair
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import paragraph, table

POINTS = 48
"""Points of a law that are drawn, evenly spaced in log compute."""
MEASURED = "Dots: measured, the mean over the runs of a shape."
BANDS = "Bands: 90% of the curves that these runs allow."


def laws_section(plan: Plan) -> Markup:
    """The laws, drawn and in a table; nothing for a plan without laws."""
    found = drawn(plan)
    if not found:
        return NOTHING
    left = sum(one.law is not None for one in plan.candidates) - len(found)
    more = [paragraph(f"{left} more laws are not drawn.")] if left else []
    figures = pair(_laws(plan, found), _residuals(plan, found))
    return join(node("h2", "The laws"), figures, *more, _table(plan))


def thinned(curve: MeasuredCurve) -> list[tuple[float, float]]:
    """The points of a measured curve that are drawn."""
    return thinned_pairs(list(zip(curve.compute, curve.error, strict=True)))


def thinned_pairs(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` of some points, the first and the last among them."""
    if len(pairs) <= POINTS:
        return pairs
    kept = {round(index * (len(pairs) - 1) / (POINTS - 1)) for index in range(POINTS)}
    return [pair for index, pair in enumerate(pairs) if index in kept]


def _span(plan: Plan, one: Drawn) -> tuple[float, float]:
    """The compute over which a law is drawn: that of its points, else what the plan spends, in FLOPs."""
    about = one.law.provenance
    if about.compute is not None and about.compute[0] > 0:
        return about.compute
    most = (plan.totals.compute or 1.0) * 1.0
    return max(most / 1000, 2 * one.law.begins), max(most, 4 * one.law.begins)


def _laws(plan: Plan, found: Sequence[Drawn]) -> Markup:
    lines, dots, known = list[Line](), list[Dots](), law_bands(plan)
    bands = [Band("", _paced(known[one.shape], one.pace), one.color) for one in found if one.shape in known]
    for one in found:
        grid = spaced(*_span(plan, one))
        points = [(at * one.pace, one.law.error(at)) for at in grid]
        lines.append(Line(one.name, [pair for pair in points if math.isfinite(pair[1])], one.color))
        curve = one.law.provenance.curve
        if curve is not None:
            pairs = thinned(curve)
            titles = [f"{one.name}: {error(value, plan.metric)} after {flops(at)}" for at, value in pairs]
            dots.append(Dots("", [(at * one.pace, value) for at, value in pairs], one.color, titles, 2.4))
    if not any(line.points for line in lines):
        return NOTHING
    xs = [at for line in lines for at, _ in line.points]
    shown = [value for each in (dots or lines) for _, value in each.points]
    x, size = compute_axis(plan, min(xs), max(xs))
    y = errors_axis(plan, min(shown), max(shown))
    caption = ["Lines: laws.", MEASURED if dots else "No point is recorded.", *([BANDS] if bands else [])]
    layers: list[Layer] = [*bands, *dots, *lines]
    name = f"Laws of {len(found)} shapes: {plan.metric} over compute"
    drawing = chart(Figure(name, x, y, [scaled(one, size) for one in layers], " ".join(caption)))
    return join(node("h3", "Laws and points" if dots else "Laws"), drawing)


def _paced(band: Sequence[tuple[float, float, float]], pace: float) -> list[tuple[float, float, float]]:
    return [(at * pace, low, high) for at, low, high in band]


def _residuals(plan: Plan, found: Sequence[Drawn]) -> Markup:
    """Measured over law, minus 1, at the points of each law; nothing without points."""
    layers = list[Layer]()
    for one in found:
        curve = one.law.provenance.curve
        pairs = [] if curve is None else [(at, value, one.law.error(at)) for at, value in thinned(curve)]
        kept = [(at * one.pace, value / by - 1) for at, value, by in pairs if by > 0 and math.isfinite(by)]
        if kept:
            titles = [f"{one.name}: {100 * value:+.2f}%" for _, value in kept]
            layers += [Line("", kept, one.color), Dots(one.name, kept, one.color, titles, 2.4)]
    if not layers:
        return NOTHING
    points = [pair for layer in layers if isinstance(layer, Dots) for pair in layer.points]
    x, size = compute_axis(plan, min(at for at, _ in points), max(at for at, _ in points))
    most = 1.1 * max(abs(value) for _, value in points) or 0.01
    y = Axis("measured / law - 1", -most, most, share=True)
    figure = Figure("Residuals of the laws", x, y, [scaled(one, size) for one in layers])
    return join(node("h3", "Residuals"), chart(figure))


def _table(plan: Plan) -> Markup:
    rows = []
    for one in plan.candidates:
        if one.law is None:
            continue
        about = one.law.provenance
        numbers = [getattr(one.law, key, None) for key in "abcd"]
        span = "-" if about.compute is None else f"{flops(about.compute[0], 3)} - {flops(about.compute[1], 3)}"
        cells = [about.source, *("-" if value is None else f"{value:.4g}" for value in numbers)]
        rms = "-" if about.rms is None else f"{100 * about.rms:.2f}%"
        held = "-" if about.holdout is None else factor(about.holdout)
        rows.append(
            [one.shape.written(plan.units), *cells, str(about.points or "-"), str(about.runs or "-"), span, rms, held]
        )
    form = (
        "error = a (FLOPs + d)^-b + c; `-`: a law that is a table of points, or that is not known. Hold-out: compute "
        "that a fit to the first half predicts for the final losses, over the actual compute."
    )
    headings = ["shape", "source", "a", "b", "c", "d", "points", "runs", "measured", "rms", "hold-out"]
    shown = table("Laws", headings, rows, [False, False, *[True] * 9])
    whole = join(node("p", form, class_="soft"), shown)
    if len(rows) <= MOST:
        return whole
    return node("details", node("summary", f"All {len(rows)} laws in numbers"), whole)
