"""Plots a plan: error over compute, or over seconds for a budget in seconds, for each stage and the fixed shapes."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.preview.answer import headline
from shapeflow.preview.curves import all_curves, along, place, scale_of
from shapeflow.preview.intervals import basis
from shapeflow.preview.picture import labelled, lettering, plain_numbers, pyplot_for, save

TITLE = 100
"""Characters of a line of the title."""
COLORS = ("#1b6ca8", "#c0392b", "#7f8c8d")
WIDE = 30.0
"""Ratio of the first to the last error from which the axis of errors is logarithmic."""


def draw(plan: Plan, path: Path) -> None:
    """Plot a plan to a PNG, SVG or PDF file. Raises Refused if matplotlib is missing, the file extension is unknown or
    the plan has no laws."""
    pyplot = pyplot_for(path)
    curves = all_curves(plan)
    if not curves:
        raise Refused(Diagnostic("no-laws", "nothing to draw: the plan has no laws", place="--plot"))
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    unit, size = scale_of(plan, place(plan, plan.stages[-1].leave))
    _band(axes, plan, size)
    _lines(axes, curves, size)
    _labels(axes, plan, unit, size)
    keep_apart(figure, axes, list(_switches(axes, plan, size)))
    save(figure, path)
    pyplot.close(figure)


def _lines(axes: Any, curves: list[Any], size: float) -> None:
    for number, curve in enumerate(curves):
        xs, ys = zip(*curve.points, strict=True)
        style = {"lw": 2.2, "zorder": 3} if number == 0 else {"lw": 1.4, "ls": "--"}
        axes.plot([x / size for x in xs], ys, color=COLORS[number % len(COLORS)], label=labelled(curve.label), **style)


def _band(axes: Any, plan: Plan, size: float) -> None:
    """Draw the interval of the plan's error, from resampled laws."""
    found = plan.uncertainty
    if found is None or not found.band:
        return
    computes, low, high = zip(*found.band, strict=True)
    places = [along(plan, compute) for compute in computes]
    style = {"color": COLORS[0], "alpha": 0.2, "lw": 0, "zorder": 2}
    axes.fill_between([one / size for one in places], low, high, label=basis(found), **style)


def _switches(axes: Any, plan: Plan, size: float) -> Iterator[Any]:
    """Draw a dot at each switch, with its name below and to the left, where a falling curve leaves space. Yields the
    names."""
    for before, stage in itertools.pairwise(plan.stages):
        if stage.enter.compute and stage.enter.error is not None:
            at = place(plan, stage.enter) / size
            axes.plot(at, stage.enter.error, "o", color=COLORS[0], zorder=4)
            below = (at, min(stage.enter.error, before.leave.error or stage.enter.error))
            moved = Shape.of({axis: stage.shape[axis] for axis in before.shape.changed(stage.shape)})
            at_point = {"textcoords": "offset points", "ha": "right", "fontsize": 8}
            yield axes.annotate(lettering(moved.written(plan.units)), below, (-6, -12), **at_point)


def keep_apart(figure: Any, axes: Any, names: list[Any]) -> None:
    """Widen the axis until no name crosses its left edge; lower a name that overlaps the previous one."""
    figure.draw_without_rendering()
    frame, boxes = axes.get_window_extent(), [name.get_window_extent() for name in names]
    over = max((frame.x0 - box.x0 for box in boxes), default=0.0)
    if over > 0:
        low, high = axes.get_xlim()
        widest = max(box.width for box in boxes) / frame.width
        axes.set_xlim(low * (low / high) ** (over / frame.width / max(1 - widest, 0.2) + 0.02), high)
        figure.draw_without_rendering()
    for before, name in itertools.pairwise(names):
        above, box = before.get_window_extent(), name.get_window_extent()
        if box.x0 < above.x1 and above.y0 < box.y1 and box.y0 < above.y1:
            right, up = name.get_position()
            name.set_position((right, up - (box.y1 - above.y0) * 72 / figure.dpi))


def _labels(axes: Any, plan: Plan, unit: str, size: float) -> None:
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set_xlabel(
        f"training time, {unit}" if plan.in_seconds else f"training compute, {unit} ({lettering(plan.convention)})"
    )
    axes.set_ylabel(lettering(plan.metric))
    if plan.totals.error is not None:
        start = plan.stages[0].enter.error or axes.get_ylim()[1]
        if 0 < WIDE * plan.totals.error < start:
            axes.set_yscale("log")
            axes.set_ylim(plan.totals.error / 1.5, start * 1.2)
        else:
            axes.set_ylim(plan.totals.error - 0.08 * (start - plan.totals.error), start * 1.02)
        seen = [x for line in axes.lines for x, y in zip(*line.get_data(), strict=True) if y <= start and x > 0]
        fixed = (plan.comparison.best_fixed, plan.comparison.last_shape_fixed)
        needs = [need / size for need in (one.seconds if plan.in_seconds else one.compute for one in fixed) if need]
        axes.set_xlim(0.7 * min(seen), 1.3 * max([place(plan, plan.stages[-1].leave) / size, *needs]))
    axes.set_title(lettering("\n".join(filter(None, (plan.name, *_title(plan))))), fontsize=10)
    if plan.totals.error is not None:
        axes.axhline(plan.totals.error, color="#bbbbbb", lw=0.8, zorder=1)
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _title(plan: Plan) -> Iterator[str]:
    """The answer, in lines that fit the picture."""
    if plan.answer is not None:
        yield from textwrap.wrap(headline(plan, plan.answer), TITLE)
