"""Plots the fixed and the scheduled frontier of a file: isoFLOP curves or laws, errors over compute, and the ratio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shapeflow.preview.joint import size
from shapeflow.preview.picture import labelled, lettering, plain_numbers, tick
from shapeflow.preview.plot import keep_apart
from shapeflow.preview.scheduled import in_brief, isoflops
from shapeflow.running.scheduled import Compared, Scheduled, Way

RED, BLUE, GREY = "#c0392b", "#1b6ca8", "#7f8c8d"
NAMED = 8
"""Largest number of curves in a legend."""


def shade(number: int, count: int) -> Any:
    """The color of a curve, from dark to light in order."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.88 * number / max(count - 1, 1))


def draw_shapes(axes: Any, found: Scheduled) -> None:
    """IsoFLOP curves with their minima, if the candidates have sizes enough; else the law of each candidate."""
    slices = isoflops(found)
    if not slices:
        _laws(axes, found)
        return
    shown = slices[:: math.ceil(len(slices) / NAMED)]
    for number, one in enumerate(shown):
        color = shade(number, len(shown))
        axes.plot(one.size, one.error, ".-", color=color, lw=1.2, label=found.unit.written(one.compute))
        lowest = int(one.error.argmin())
        axes.plot([one.size[lowest]], [one.error[lowest]], "o", color=color, ms=8, mfc="none")
        if one.best is not None and one.lowest is not None:
            axes.plot([one.best], [one.lowest], "x", color=RED)
    # The largest size needs the most compute: at small budgets its loss would hide the minima.
    lowest, highest = min(one.error.min() for one in shown), max(one.error.min() for one in shown)
    axes.set_ylim(lowest * (lowest / highest) ** 0.1, highest * (highest / lowest) ** 0.5)
    axes.plot([], [], "o", color=GREY, mfc="none", label="lowest candidate")
    axes.plot([], [], "x", color=RED, label="minimum of a parabola")
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel=lettering(found.metric))
    curves = "curves of equal time" if found.unit.timed else "isoFLOP curves"
    axes.set_title(f"{curves} of the candidates", fontsize=10)
    sized(axes.xaxis)
    plain_numbers(axes.yaxis)
    plain_minor(axes.yaxis)


def _laws(axes: Any, found: Scheduled) -> None:
    low, high = found.rows[0].budget, found.rows[-1].budget
    budgets = np.geomspace(low, high, 80)
    for number, shape in enumerate(found.laws):
        label = labelled(shape.written(found.units)) if len(found.laws) <= NAMED else None
        color = shade(number, len(found.laws))
        reached = [found.unit.error(found.laws, shape, each) for each in budgets.tolist()]
        axes.plot(budgets, reached, color=color, lw=1.2, label=label)
    errors = [row.fixed.error for row in found.rows]
    axes.set_ylim(min(errors) * (min(errors) / max(errors)) ** 0.1, max(errors) * (max(errors) / min(errors)) ** 0.4)
    axes.set(xscale="log", yscale="log", ylabel=lettering(found.metric))
    _over(axes, found)
    axes.set_title("laws of the candidates, each fixed", fontsize=10)
    plain_numbers(axes.yaxis)
    plain_minor(axes.yaxis)


def draw_errors(axes: Any, found: Scheduled) -> None:
    """The error of the best fixed shape and of the schedule over the budget (paper A, Fig. 6)."""
    _way(axes, [(row, row.fixed) for row in found.rows], GREY, "best fixed shape", "o--")
    made = [(row, row.scheduled) for row in found.rows if row.scheduled is not None]
    _way(axes, made, BLUE, "best schedule", "s-")
    # Seconds are known of the candidates alone, and not of any size.
    if (joint := found.laws.joint) is not None and not found.unit.timed:
        budgets = np.geomspace(found.rows[0].budget, found.rows[-1].budget, 60)
        errors = [joint.best(float(each)).error for each in budgets]
        axes.plot(budgets, errors, ":", color=RED, lw=1.2, label="best size of any, fixed")
    _shade_rows(axes, found.rows)
    axes.set(xscale="log", yscale="log", ylabel=lettering(found.metric))
    _over(axes, found)
    keep_apart(axes.figure, axes, list(_names(axes, found)))
    axes.set_title("lowest error for a budget", fontsize=10)
    plain_numbers(axes.yaxis)
    plain_minor(axes.yaxis)


def _way(axes: Any, ways: Sequence[tuple[Compared, Way]], color: str, label: str, style: str) -> None:
    axes.plot([row.budget for row, _ in ways], [way.error for _, way in ways], style, color=color, ms=4, label=label)
    bands = [(row.budget, *way.interval) for row, way in ways if way.interval is not None]
    if bands:
        axes.fill_between(*zip(*bands, strict=True), color=color, alpha=0.15, lw=0)


def _names(axes: Any, found: Scheduled) -> Iterator[Any]:
    """Write the shapes of each schedule at the first budget that has them, below the curve. Yields the names."""
    before: tuple[Any, ...] = ()
    for row in found.rows:
        if row.scheduled is not None and row.scheduled.shapes != before:
            before = row.scheduled.shapes
            text = lettering(in_brief(row.scheduled, found.units).replace(" > ", "\n> "))
            style = {"textcoords": "offset points", "fontsize": 6.5, "color": BLUE, "va": "top", "ha": "right"}
            yield axes.annotate(text, (row.budget, row.scheduled.error), (-5, -5), **style)


def draw_ratios(axes: Any, found: Scheduled) -> None:
    """What the best fixed shape needs for the error of the schedule, over what the schedule takes."""
    known = [(row.budget, row.ratio) for row in found.rows if row.ratio is not None]
    finite = [(budget, one) for budget, one in known if math.isfinite(one.middle)]
    if finite:
        off = np.array([[one.middle - one.low, min(one.high, 100.0) - one.middle] for _, one in finite]).T
        at, middle = [budget for budget, _ in finite], [one.middle for _, one in finite]
        wide = np.abs(off).max() > 0
        label = "median, 90% interval" if wide else "by the laws"
        axes.errorbar(at, middle, yerr=np.abs(off), fmt="s-", ms=4, lw=1.2, capsize=2, color=BLUE, label=label)
    _shade_rows(axes, [row for row in found.rows if row.ratio is not None])
    axes.axhline(1.0, color=GREY, lw=1)
    axes.set(xscale="log", ylabel=f"{found.unit.noun} of the best fixed / of the schedule")
    _over(axes, found)
    axes.set_title(f"{found.unit.noun} at equal error", fontsize=10)
    plain_numbers(axes.yaxis)


def _shade_rows(axes: Any, rows: Sequence[Compared]) -> None:
    """Shade the budgets at which a law is used beyond its measurements."""
    if outside := [row.budget for row in rows if row.beyond > 1]:
        shade_beyond(axes, min(outside) / 1.1, max(outside) * 1.1)


def shade_beyond(axes: Any, low: float, high: float) -> None:
    """Shade a range of budgets that was not measured."""
    axes.axvspan(low, high, color=GREY, alpha=0.12, lw=0, label="beyond the data")


def sized(axis: Any) -> None:
    """Label a logarithmic axis with numbers of parameters: `300 M`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
    axis.set_minor_formatter(NullFormatter())


def plain_minor(axis: Any) -> None:
    """Label the ticks between decades of a logarithmic axis, where it spans less than two."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = axis.get_view_interval()
    if high < 30 * low:
        axis.set_minor_formatter(FuncFormatter(lambda value, _: tick(value, axis.get_view_interval())))
        axis.set_tick_params(which="minor", labelsize=7)
    else:
        axis.set_minor_formatter(NullFormatter())


def _over(axes: Any, found: Scheduled) -> None:
    """Name the axis of the budgets: FLOPs, or seconds in plain numbers."""
    if found.unit.timed:
        axes.set_xlabel("time, s")
        plain_numbers(axes.xaxis)
        plain_minor(axes.xaxis)
    else:
        axes.set_xlabel(f"compute, FLOPs ({lettering(found.convention)})")
