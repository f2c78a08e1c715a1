"""Plots a plan: the figure of its path on the laws, with the answer as its title and the names of its switches."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan
from shapeflow.preview.answer import headline
from shapeflow.preview.curves import all_curves
from shapeflow.preview.figure import Dots, Figure, Line
from shapeflow.preview.path_figure import path_figure, switches_of
from shapeflow.preview.picture import key_below, lettering, paint, pyplot_for, save

TITLE = 92
"""Characters of a line of the title."""


def draw(plan: Plan, path: Path) -> None:
    """Plot a plan to a PNG, SVG or PDF file. Raises Refused if matplotlib is missing, the file extension is unknown or
    the plan has no laws."""
    pyplot = pyplot_for(path)
    curves = all_curves(plan)
    if not curves:
        raise Refused(Diagnostic("no-laws", "nothing to draw: the plan has no laws", place="--plot"))
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    drawn = path_figure(plan, curves)
    paint(axes, drawn)
    key_below(axes, drawn)
    axes.set_title(lettering("\n".join(filter(None, (plan.name, *_title(plan))))), fontsize=10)
    keep_apart(figure, axes, list(_switches(axes, plan, drawn)))
    save(figure, path)
    pyplot.close(figure)


def _switches(axes: Any, plan: Plan, drawn: Figure) -> Iterator[Any]:
    """Write the name of each switch below and to the left of its dot, where a falling curve leaves space. Yields the
    names."""
    dots = [point for layer in drawn.layers if isinstance(layer, Dots) for point in layer.points]
    path = [point for layer in drawn.layers if isinstance(layer, Line) and layer.heavy for point in layer.points]
    style = {"textcoords": "offset points", "ha": "right", "fontsize": 8}
    for (at, error), (_, _, name) in zip(dots, switches_of(plan), strict=True):
        # At a switch that loses progress, the path is a vertical line up to the dot.
        below = min((value for x, value in path if math.isclose(x, at)), default=error)
        yield axes.annotate(lettering(name), (at, below), (-6, -12), **style)


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


def _title(plan: Plan) -> Iterator[str]:
    """The answer, in lines that fit the picture."""
    if plan.answer is not None:
        yield from textwrap.wrap(headline(plan, plan.answer), TITLE)
