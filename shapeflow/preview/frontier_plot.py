"""Plots isoFLOP curves with their minima, and the best size over compute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.laws.joint.frontier import Frontier
from shapeflow.preview.numbers import flops
from shapeflow.preview.picture import pyplot_for, save

RED = "#c0392b"
CURVES = 8
"""Largest number of isoFLOP curves."""


def draw_frontier(found: Frontier, path: Path) -> None:
    """Draw the losses over size at some budgets, and the frontier. Raises Refused if matplotlib is missing or the file
    extension is unknown."""
    pyplot = pyplot_for(path)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    _curves(left, found)
    _frontier(right, found)
    for axes in (left, right):
        axes.set(xscale="log")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)
    pyplot.close(figure)


def _curves(axes: Any, found: Frontier) -> None:
    """Losses over size: measured at the slices, and by the law at the same budgets. Without slices, at the budgets."""
    from matplotlib import colormaps

    law = found.law
    budgets = [one.compute for one in found.slices] or [one.compute for one in found.best]
    shown = budgets[:: math.ceil(len(budgets) / CURVES)]
    sizes = np.geomspace(law.size[0] / 2, law.size[1] * 2, 120)
    for number, budget in enumerate(shown):
        color = colormaps["viridis"](0.9 * number / max(len(shown) - 1, 1))
        losses = [law.error(each, budget / law.per_token.of(each)) for each in sizes]
        axes.plot(sizes, losses, color=color, lw=1.2, label=flops(budget, 3))
        for one in found.slices:
            if one.compute == budget:
                axes.plot(one.size, one.error, ".", color=color)
        best = law.best(budget)
        axes.plot([best.size], [best.error], "x", color=RED)
    measured = law.measured[:, 2]
    axes.set(xlabel="parameters", ylabel="loss", ylim=(0.97 * measured.min(), 1.03 * np.quantile(measured, 0.98)))


def _frontier(axes: Any, found: Frontier) -> None:
    law = found.law
    high = max(law.compute[1], *(one.compute for one in found.best))
    budgets = np.geomspace(law.compute[0], high, 60)
    best = [law.best(float(budget)) for budget in budgets]
    ranges = [one.size_range for one in best if one.size_range is not None]
    if ranges:
        axes.fill_between(budgets, *zip(*ranges, strict=True), color=RED, alpha=0.15, lw=0)
    axes.plot(budgets, [one.size for one in best], color=RED, lw=1.6, label=f"compute^{law.exponent:.3g}")
    for one in found.slices:
        if one.best is not None and one.best_range is not None:
            off = [[one.best - one.best_range[0]], [one.best_range[1] - one.best]]
            axes.errorbar([one.compute], [one.best], yerr=np.abs(off), fmt="o", color="#2c3e50")
    axes.plot([one.compute for one in found.best], [one.size for one in found.best], "x", color=RED)
    axes.set(yscale="log", xlabel="compute, FLOPs", ylabel="best size, parameters")
