"""Plots a fit: the laws and their points, and below them the residuals of each shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.logs.points import Floats, Points
from shapeflow.preview.fit import factor, refused
from shapeflow.preview.numbers import scale
from shapeflow.preview.picture import lettering, plain_numbers, pyplot_for, save

WIDE, TALL, PANEL = 10.5, 5.6, 1.5
"""In inches: the width of the figure, the minimum height of the plot of curves, and the height of a panel of
residuals."""
SMALLEST = 5.5
"""The minimum font size of names, in points. If the names do not fit, the figure is made taller."""
GREY, RED = "#666666", "#c0392b"
PIECES = 200
"""The number of points at which a law is drawn."""


@attrs.frozen(eq=False)
class _Drawn:
    """One law with its points, label and color. `size`: FLOPs per unit of the compute axis."""

    label: str
    color: Any
    law: Law
    half: Law | None
    points: Points
    size: float

    @property
    def split(self) -> float:
        """The compute above which points were held out from the fit to the first half; infinite if none were."""
        span = None if self.half is None else self.half.provenance.compute
        return math.inf if span is None else span[1]

    def grid(self, first: float = 0.0) -> Floats:
        """Compute values, evenly spaced in log, from the first point (or from `first`, if that is larger) to the last
        point."""
        begin, end = max(first, float(self.points.compute[0])), float(self.points.compute[-1])
        return np.geomspace(begin, end, PIECES)

    def band(self, compute: Floats) -> tuple[Floats, Floats] | None:
        """The range that contains 90 % of the resampled laws at each compute; None without resamples."""
        if self.law.draws is None:
            return None
        a, b, c, d = (column[:, None] for column in np.asarray(self.law.draws).T)
        moved = np.maximum(compute[None] + d, np.finfo(float).tiny)
        low, high = np.quantile(a * moved**-b + c, [0.05, 0.95], axis=0)
        return low, high


def draw_fit(name: str, units: Mapping[str, str], found: FittedLaws, path: Path) -> None:
    """Plot a fit to a PNG, SVG or PDF file. `units`: axis -> unit, in file order. Raises Refused if matplotlib is
    missing, the file extension is unknown or the file cannot be written."""
    pyplot = pyplot_for(path)
    about = next(iter(found.laws.values())).provenance
    prefix, size = scale(max(float(points.compute[-1]) for points in found.points.values()))
    colors = pyplot.get_cmap("viridis")(np.linspace(0.0, 0.88, len(found.laws)))
    drawn = [
        _Drawn(_label(shape, units), color, law, found.halves.get(shape), found.points[shape], size)
        for (shape, law), color in zip(found.laws.items(), colors, strict=True)
    ]
    rows, columns = _grid(drawn)
    tall = max(TALL, 1.0 + len(drawn) * 1.25 * SMALLEST / 72)
    figure = pyplot.figure(figsize=(WIDE, tall + PANEL * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[tall, PANEL * rows])
    upper.suptitle(lettering(_title(name, list(found.laws.values()))), fontsize=12, x=0.01, ha="left")
    _curves(upper.subplots(), drawn, tall, f"{prefix}FLOPs ({about.convention})", about.metric, ", ".join(units))
    panels = lower.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    _residuals(panels, drawn, columns)
    held = "; grey: held out, with the predicted over the actual compute of the final losses" if found.halves else ""
    lower.supxlabel(f"training compute, {prefix}FLOPs{held}", fontsize=9)
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


def _curves(axes: Any, drawn: Sequence[_Drawn], tall: float, unit: str, metric: str, names: str) -> None:
    """Draw the points and laws in one plot, with the name of each law at its end."""
    dot = 3.0 if len(drawn) <= 8 else 2.2
    for one in drawn:
        grid = one.grid()
        used = one.points.compute <= one.split
        _band(axes, one, grid, None)
        axes.plot(grid / one.size, _errors(one.law, grid), color=one.color, lw=1.3, zorder=3)
        if one.half is not None and one.split < grid[-1]:
            rest = one.grid(one.split)
            axes.plot(rest / one.size, _errors(one.half, rest), color=one.color, lw=1.3, ls=":", zorder=4)
        for which, face in ((used, one.color), (~used, "white")):
            x, y = one.points.compute[which] / one.size, one.points.error[which]
            axes.plot(x, y, "o", ms=dot, mew=0.6, mec=one.color, mfc=face, ls="", zorder=2)
    _over_compute(axes, drawn, (1.0, 2.0, 5.0))
    plain_numbers(axes.yaxis, percent="error" in metric)
    low, high = min(one.points.error.min() for one in drawn), max(one.points.error.max() for one in drawn)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlabel(lettering(f"training compute, {unit}"), fontsize=9)
    axes.set_ylabel(lettering(metric), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.2, which="both", lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    _names(axes, drawn, names, 72 * (tall - 1.0))
    _legend(axes, drawn)


def _errors(law: Law, compute: Floats) -> Floats:
    return np.array([law.error(float(each)) for each in compute])


def _band(axes: Any, one: _Drawn, grid: Floats, over: Floats | None) -> None:
    band = one.band(grid)
    if band is not None:
        low, high = band if over is None else (edge / over - 1 for edge in band)
        axes.fill_between(grid / one.size, low, high, color=one.color, alpha=0.25, lw=0, zorder=1)


def _over_compute(axes: Any, drawn: Sequence[_Drawn], between: tuple[float, ...]) -> None:
    """Make the x axis a log axis of compute. If it spans less than two decades, `between` are the tick positions within
    a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter

    first, last = min(one.points.compute[0] for one in drawn), max(one.points.compute[-1] for one in drawn)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=between if last < 100 * first else (1.0,)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_numbers(axes.xaxis)


def _names(axes: Any, drawn: Sequence[_Drawn], names: str, room: float) -> None:
    """Write the shape of each law at the right edge, moved up or down to avoid overlaps. `room`: the height of the plot
    in points."""
    low, high = axes.get_ylim()
    size = min(9.0, room / len(drawn) / 1.25)
    ends = [one.law.error(float(one.points.compute[-1])) for one in drawn]
    order = sorted(range(len(drawn)), key=lambda index: ends[index])
    wanted = [(ends[index] - low) / (high - low) for index in order]
    heights = spread(wanted, 1.25 * size / room)
    for index, height in zip(order, heights, strict=True):
        one, wrong = drawn[index], refused(drawn[index].law)
        axes.annotate(
            one.label + " (not reliable)" * wrong,
            (float(one.points.compute[-1]) / one.size, ends[index]),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            color=RED if wrong else "black",
            arrowprops={
                "arrowstyle": "-",
                "color": one.color,
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


def _legend(axes: Any, drawn: Sequence[_Drawn]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    held = any(one.half is not None for one in drawn)
    resampled = any(one.law.draws is not None for one in drawn)
    dot: dict[str, Any] = {"marker": "o", "ls": "", "ms": 4, "mec": GREY}
    shown: list[Any] = [Line2D([], [], mfc=GREY, label="measured", **dot)]
    if held:
        shown.append(Line2D([], [], mfc="white", label="measured, held out of the first half's fit", **dot))
    shown.append(Line2D([], [], color=GREY, lw=1.3, label="law"))
    if resampled:
        shown.append(Patch(color=GREY, alpha=0.25, lw=0, label="90% of the resampled laws"))
    if held:
        shown.append(Line2D([], [], color=GREY, lw=1.3, ls=":", label="prediction of the fit to the first half"))
    axes.legend(handles=shown, frameon=False, fontsize=8, loc="upper right")


def _residuals(panels: Sequence[Any], drawn: Sequence[_Drawn], columns: int) -> None:
    """Draw one panel per law, with shared axes: measured / law - 1, the band, and the fit to the first half."""
    limit = _limit(drawn)
    for axes, one in zip(panels, drawn, strict=False):
        law, grid = _errors(one.law, one.points.compute), one.grid()
        residual, at = one.points.error / law - 1, one.points.compute / one.size
        used = one.points.compute <= one.split
        axes.axhline(0, color=one.color, lw=1, zorder=3)
        _band(axes, one, grid, _errors(one.law, grid))
        if one.half is not None and one.split < grid[-1]:
            rest = one.grid(one.split)
            axes.axvspan(one.split / one.size, grid[-1] / one.size, color="#eeeeee", lw=0, zorder=0)
            predicted = _errors(one.half, rest) / _errors(one.law, rest) - 1
            axes.plot(rest / one.size, predicted, color=one.color, lw=1.2, ls=":", zorder=4)
        for which, face in ((used, one.color), (~used, "white")):
            axes.plot(at[which], residual[which], "o", ms=2.2, mew=0.5, mec=one.color, mfc=face, ls="", zorder=2)
        for beyond, marker, edge in ((residual > limit, "^", limit), (residual < -limit, "v", -limit)):
            axes.plot(at[beyond], np.full(beyond.sum(), 0.94 * edge), marker, ms=3, color=RED, ls="", zorder=5)
        axes.set_title(_panel_title(one), fontsize=7.5, pad=3, color=RED if refused(one.law) else "black")
        axes.grid(alpha=0.2, lw=0.5)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    _over_compute(panels[0], drawn, (1.0, 3.0))
    panels[0].set_ylim(-limit, limit)
    plain_numbers(panels[0].yaxis, percent=True)
    for axes in panels[max(0, len(drawn) - columns) : len(drawn)]:
        axes.tick_params(labelbottom=True)


def _limit(drawn: Sequence[_Drawn]) -> float:
    """The range of the y axis of all panels: limited to three times the median over laws, so that a law with large
    scatter does not flatten the other panels."""
    reach = [_reach(one) for one in drawn]
    return 1.15 * min(max(reach), 3 * float(np.median(reach))) or 1e-3


def _grid(drawn: Sequence[_Drawn]) -> tuple[int, int]:
    """The numbers of rows and columns of panels such that the titles fit."""
    letters = max(len(one.label) for one in drawn)
    most = max(1, min(5, int(WIDE * 16 / max(letters, 1))))
    rows = math.ceil(len(drawn) / most)
    return rows, math.ceil(len(drawn) / rows)


def _reach(one: _Drawn) -> float:
    """The largest residual, or the deviation of the fit to the first half at the last point if that is larger, up to
    twice the largest residual."""
    points = float(np.abs(one.points.error / _errors(one.law, one.points.compute) - 1).max())
    if one.half is None:
        return points
    last = one.points.compute[-1:]
    return max(points, min(2 * points, float(np.abs(_errors(one.half, last) / _errors(one.law, last) - 1)[0])))


def _panel_title(one: _Drawn) -> str:
    held = one.law.provenance.holdout
    said = ["refused"] * refused(one.law) + ([] if held is None else [factor(held)])
    return "\n".join([one.label, *([f"({', '.join(said)})"] if said else [])])
