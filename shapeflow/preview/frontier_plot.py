"""Plots a frontier: isoFLOP curves, the best size over compute, and fixed shapes against schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.laws.joint.frontier import Frontier
from shapeflow.preview.numbers import flops
from shapeflow.preview.picture import pyplot_for, save
from shapeflow.preview.scheduled_plot import RED, draw_errors, draw_ratios, draw_shapes, shade, shade_beyond, sized
from shapeflow.running.scheduled import Scheduled

CURVES = 8
"""Largest number of isoFLOP curves."""


def draw_frontier(found: Frontier | None, scheduled: Scheduled | None, path: Path) -> None:
    """Draw what is known: of a law of size and tokens, the losses over size at some budgets and the best size over
    compute; of the candidates of a file, fixed shapes against schedules. Raises Refused if matplotlib is missing or the
    file extension is unknown."""
    panels: list[Callable[[Any], None]] = []
    if found is not None:
        panels += [partial(_curves, found=found), partial(_frontier, found=found)]
    if scheduled is not None:
        panels += [] if found is not None else [partial(draw_shapes, found=scheduled)]
        panels += [partial(draw_errors, found=scheduled), partial(draw_ratios, found=scheduled)]
    pyplot = pyplot_for(path)
    rows = 2 if len(panels) > 3 else 1
    columns = len(panels) // rows
    size = (5.6 * columns, 4.8 * rows)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=True):
        panel(axes)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)
    pyplot.close(figure)


def _curves(axes: Any, found: Frontier) -> None:
    """Losses over size: measured at the slices, and by the law at the same budgets. Without slices, at the budgets."""
    law = found.law
    budgets = [one.compute for one in found.slices] or [one.compute for one in found.best]
    shown = budgets[:: math.ceil(len(budgets) / CURVES)]
    bests = [law.best(budget) for budget in shown]
    high = max(law.size[1], *(one.size for one in bests)) * 2
    sizes = np.geomspace(law.size[0] / 2, high, 120)
    for number, budget in enumerate(shown):
        color = shade(number, len(shown))
        losses = [law.error(each, budget / law.per_token.of(each)) for each in sizes]
        axes.plot(sizes, losses, color=color, lw=1.2, label=flops(budget))
        for one in found.slices:
            if one.compute == budget:
                axes.plot(one.size, one.error, ".", color=color)
        best = bests[number]
        axes.plot([best.size], [best.error], "x", color=RED)
    axes.plot([], [], "x", color=RED, label="best size, by the law")
    if found.slices:
        axes.plot([], [], ".", color="#7f8c8d", label="measured")
    measured = law.measured[:, 2]
    axes.set(xscale="log", xlabel="parameters", ylabel="loss")
    lowest = min(measured.min(), *(one.error for one in bests))
    axes.set_ylim(0.97 * lowest, 1.03 * np.quantile(measured, 0.98))
    sized(axes.xaxis)
    axes.set_title("isoFLOP curves of the law of size and tokens", fontsize=10)


def _frontier(axes: Any, found: Frontier) -> None:
    law = found.law
    high = max(law.compute[1], *(one.compute for one in found.best))
    budgets = np.geomspace(law.compute[0], high, 60)
    best = [law.best(float(budget)) for budget in budgets]
    ranges = [one.size_range for one in best if one.size_range is not None]
    if ranges:
        axes.fill_between(budgets, *zip(*ranges, strict=True), color=RED, alpha=0.15, lw=0)
    growth = f"minimum of the law, compute^{law.exponent:.3g}" + (", and 90%" if ranges else "")
    axes.plot(budgets, [one.size for one in best], color=RED, lw=1.6, label=growth)
    label: str | None = "minimum of a parabola, and 90%"
    for one in found.slices:
        if one.best is not None and one.best_range is not None:
            off = [[one.best - one.best_range[0]], [one.best_range[1] - one.best]]
            axes.errorbar([one.compute], [one.best], yerr=np.abs(off), fmt="o", ms=4, color="#2c3e50", label=label)
            label = None
    axes.plot([one.compute for one in found.best], [one.size for one in found.best], "x", color=RED)
    if high > law.compute[1]:
        shade_beyond(axes, law.compute[1], high)
    axes.set(xscale="log", yscale="log", xlabel="compute, FLOPs", ylabel="best size, parameters")
    axes.set_title("best size for a budget", fontsize=10)
    sized(axes.yaxis)
