"""Plots a fit: the laws and their points, and below them the residuals of each shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.quantiles import quantiles
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.logs.points import Points
from shapeflow.preview.figure import COLORS, Axis, Figure
from shapeflow.preview.fit import factor, refused
from shapeflow.preview.law_figures import HALF, SPACE, LawDrawing, laws_figure, residuals, residuals_figure
from shapeflow.preview.picture import lettering, paint, pyplot_for, save
from shapeflow.preview.plan_axes import flops_axis, spaced

WIDE, TALL, PANEL = 10.5, 5.6, 1.5
"""In inches: the width of the figure, the minimum height of the plot of curves, and the height of a panel of
residuals."""
SMALLEST = 5.5
"""The minimum font size of names, in points. If the names do not fit, the figure is made taller."""
LETTERS = 140
"""Letters of the ticks of all panels in one row."""
GREY, RED = "#666666", "#c0392b"


@attrs.frozen(eq=False)
class _Fitted:
    """A law with its label and how it is drawn."""

    label: str
    law: Law
    drawing: LawDrawing


def draw_fit(name: str, units: Mapping[str, str], found: FittedLaws, path: Path) -> None:
    """Plot a fit to a PNG, SVG or PDF file. `units`: axis -> unit, in file order. Raises Refused if matplotlib is
    missing, the file extension is unknown or the file cannot be written."""
    pyplot = pyplot_for(path)
    about = next(iter(found.laws.values())).provenance
    fitted = [
        _fitted(_label(shape, units), color, law, found.halves.get(shape), found.points[shape])
        for color, (shape, law) in enumerate(found.laws.items())
    ]
    drawings = [one.drawing for one in fitted]
    axis = partial(flops_axis, about.convention)
    curves = laws_figure(drawings, about.metric, axis)
    assert curves is not None, "a fitted law has errors at its points"
    rows, columns = _grid(fitted)
    tall = max(TALL, 1.0 + len(fitted) * 1.25 * SMALLEST / 72)
    figure = pyplot.figure(figsize=(WIDE, tall + PANEL * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[tall, PANEL * rows])
    upper.suptitle(lettering(_title(name, list(found.laws.values()))), fontsize=12, x=0.01, ha="left")
    _curves(upper.subplots(), fitted, curves, tall, ", ".join(units))
    panels = lower.subplots(rows, columns, squeeze=False).ravel()
    _residuals(panels, fitted, columns, flops_axis(about.convention, *_ends(fitted)))
    held = "; grey: held out, with the predicted over the actual compute of the final losses" if found.halves else ""
    lower.supxlabel(lettering(f"{curves.x.label}{held}"), fontsize=9)
    lower.supylabel("measured / law - 1", fontsize=9)
    save(figure, path)
    pyplot.close(figure)


def _label(shape: Shape, units: Mapping[str, str]) -> str:
    return lettering(", ".join(f"{shape[axis]} {unit}".rstrip() for axis, unit in units.items()))


def _title(name: str, laws: Sequence[Law]) -> str:
    wrong = sum(map(refused, laws))
    return f"{name or 'unnamed plan'}: {len(laws)} law{'s' * (len(laws) != 1)}" + (
        f", {wrong} refused" if wrong else ""
    )


def _fitted(label: str, color: int, law: Law, half: Law | None, points: Points) -> _Fitted:
    span = (float(points.compute[0]), float(points.compute[-1]))
    first = None if half is None else half.provenance.compute
    drawing = LawDrawing(
        name=label,
        color=color,
        error=law.error,
        span=span,
        points=list(zip(points.compute.tolist(), points.error.tolist(), strict=True)),
        band=_band(law, spaced(*span)),
        half=None if half is None else half.error,
        split=math.inf if first is None else first[1],
    )
    return _Fitted(label, law, drawing)


def _band(law: Law, grid: Sequence[float]) -> list[tuple[float, float, float]]:
    """The range that contains 90% of the resampled laws at each compute; empty without resamples."""
    if law.draws is None:
        return []
    a, b, c, d = (column[:, None] for column in np.asarray(law.draws).T)
    moved = np.maximum(np.array(grid)[None] + d, np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        low, high = quantiles(a * moved**-b + c, [0.05, 0.95], axis=0)
    return list(zip(grid, low.tolist(), high.tolist(), strict=True))


def _ends(fitted: Sequence[_Fitted]) -> tuple[float, float]:
    """The ends of the axis of compute of all laws."""
    firsts, lasts = zip(*(one.drawing.span for one in fitted), strict=True)
    return min(firsts) / SPACE, max(lasts) * SPACE


def _curves(axes: Any, fitted: Sequence[_Fitted], curves: Figure, tall: float, names: str) -> None:
    """Draw the points and laws in one plot, with the name of each law at its end."""
    paint(axes, curves)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    _names(axes, fitted, _ends(fitted)[1] / curves.x.high, names, 72 * (tall - 1.0))
    _legend(axes, [one.drawing for one in fitted])


def _names(axes: Any, fitted: Sequence[_Fitted], size_of_unit: float, names: str, room: float) -> None:
    """Write the shape of each law at the right edge, moved up or down to avoid overlaps. `room`: the height of the plot
    in points."""
    low, high = axes.get_ylim()
    size = min(9.0, room / len(fitted) / 1.25)
    ends = [one.law.error(one.drawing.span[1]) for one in fitted]
    order = sorted(range(len(fitted)), key=lambda index: ends[index])
    wanted = [(ends[index] - low) / (high - low) for index in order]
    heights = spread(wanted, 1.25 * size / room)
    for index, height in zip(order, heights, strict=True):
        one, wrong = fitted[index], refused(fitted[index].law)
        axes.annotate(
            one.label + " (not reliable)" * wrong,
            (one.drawing.span[1] / size_of_unit, ends[index]),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            color=RED if wrong else "black",
            arrowprops={
                "arrowstyle": "-",
                "color": COLORS[one.drawing.color % len(COLORS)],
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )
    axes.annotate(lettering(names), (1.03, 1.0), xycoords="axes fraction", va="bottom", fontsize=8, color=GREY)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights (in ascending order, from 0 to 1) as little as possible, by least squares, so that neighbours are at
    least `gap` apart.

    Uses the pool-adjacent-violators algorithm: height minus `gap` times position must not decrease.
    """
    blocks: list[tuple[float, int]] = []
    for place, height in enumerate(heights):
        mean, count = height - place * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, many = blocks.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    highest = 1 - (len(heights) - 1) * gap
    level = [min(max(mean, 0.0), highest) for mean, count in blocks for _ in range(count)]
    return [value + place * gap for place, value in enumerate(level)]


def _legend(axes: Any, drawings: Sequence[LawDrawing]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    held = any(one.half is not None for one in drawings)
    resampled = any(one.band for one in drawings)
    dot: dict[str, Any] = {"marker": "o", "ls": "", "ms": 4, "mec": GREY}
    shown: list[Any] = [Line2D([], [], mfc=GREY, label="measured", **dot)]
    if held:
        shown.append(Line2D([], [], mfc="white", label="measured, held out of the first half's fit", **dot))
    shown.append(Line2D([], [], color=GREY, lw=1.3, label="law"))
    if resampled:
        shown.append(Patch(color=GREY, alpha=0.22, lw=0, label="90% of the resampled laws"))
    if held:
        shown.append(Line2D([], [], color=GREY, lw=1.3, ls=":", label=HALF))
    axes.legend(handles=shown, frameon=False, fontsize=8, loc="upper right")


def _residuals(panels: Sequence[Any], fitted: Sequence[_Fitted], columns: int, shared: tuple[Axis, float]) -> None:
    """Draw one panel per law, with equal axes. `shared`: the axis of compute, and its unit in FLOPs."""
    limit, (_, size) = _limit(fitted), shared
    for number, (axes, one) in enumerate(zip(panels, fitted, strict=False)):
        figure = residuals_figure([one.drawing], lambda low, high: shared, limit, joined=False)
        if figure is not None:
            paint(
                axes,
                attrs.evolve(figure, x=attrs.evolve(figure.x, label=""), y=attrs.evolve(figure.y, label="")),
                LETTERS / columns,
            )
        if one.drawing.beyond():
            axes.axvspan(one.drawing.split / size, one.drawing.span[1] / size, color="#eeeeee", lw=0, zorder=0)
        outside = [
            (at / size, math.copysign(0.94 * limit, value))
            for at, value in residuals(one.drawing)
            if abs(value) > limit
        ]
        for at, edge in outside:
            axes.plot([at], [edge], "^" if edge > 0 else "v", ms=3, color=RED, ls="", zorder=5)
        axes.set_title(_panel_title(one), fontsize=7.5, pad=3, color=RED if refused(one.law) else "black")
        axes.tick_params(labelsize=7, labelleft=number % columns == 0)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(fitted) :]:
        axes.set_visible(False)


def _limit(fitted: Sequence[_Fitted]) -> float:
    """The range of the y axis of all panels: limited to three times the median over laws, so that a law with large
    scatter does not flatten the other panels."""
    reach = [_reach(one) for one in fitted]
    return 1.15 * min(max(reach), 3 * float(np.median(reach))) or 1e-3


def _grid(fitted: Sequence[_Fitted]) -> tuple[int, int]:
    """The numbers of rows and columns of panels such that the titles fit."""
    letters = max(len(one.label) for one in fitted)
    most = max(1, min(5, int(WIDE * 16 / max(letters, 1))))
    rows = math.ceil(len(fitted) / most)
    return rows, math.ceil(len(fitted) / rows)


def _reach(one: _Fitted) -> float:
    """The largest residual, or the deviation of the fit to the first half at the last point if that is larger, up to
    twice the largest residual."""
    points = max((abs(value) for _, value in residuals(one.drawing)), default=0.0)
    half, last = one.drawing.half, one.drawing.span[1]
    if half is None:
        return points
    return max(points, min(2 * points, abs(half(last) / one.law.error(last) - 1)))


def _panel_title(one: _Fitted) -> str:
    held = one.law.provenance.holdout
    said = ["refused"] * refused(one.law) + ([] if held is None else [factor(held)])
    return "\n".join([one.label, *([f"({', '.join(said)})"] if said else [])])
