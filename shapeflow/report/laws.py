"""The laws with the points that they were fitted to, and the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.plan import Plan
from shapeflow.preview.fit import factor
from shapeflow.preview.law_bands import law_bands
from shapeflow.preview.law_figures import LawDrawing, laws_figure, residuals_figure
from shapeflow.preview.numbers import flops
from shapeflow.preview.plan_axes import compute_axis
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
    return join(node("h2", "The laws"), _laws(plan, found), *more, _table(plan))


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
    """The laws with their points, and the residuals."""
    known = law_bands(plan)
    drawings = [_drawing(plan, one, known.get(one.shape, [])) for one in found]
    dots, bands = any(one.points for one in drawings), any(one.band for one in drawings)
    caption = ["Lines: laws.", MEASURED if dots else "No point is recorded.", *([BANDS] if bands else [])]
    axis = partial(compute_axis, plan)
    laws, residuals = laws_figure(drawings, plan.metric, axis, " ".join(caption)), residuals_figure(drawings, axis)
    titled = (("Laws and points" if dots else "Laws", laws), ("Residuals", residuals))
    return pair(*(join(node("h3", title), chart(one)) for title, one in titled if one is not None))


def _drawing(plan: Plan, one: Drawn, band: Sequence[tuple[float, float, float]]) -> LawDrawing:
    curve = one.law.provenance.curve
    points = [] if curve is None else [(at * one.pace, value) for at, value in thinned(curve)]
    first, last = _span(plan, one)
    return LawDrawing(
        name=one.name,
        color=one.color,
        error=lambda at: one.law.error(at / one.pace),
        span=(first * one.pace, last * one.pace),
        points=points,
        band=[(at * one.pace, low, high) for at, low, high in band],
        pace=one.pace,
    )


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
