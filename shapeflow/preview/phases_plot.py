"""Plots the phases of random features, and losses over compute, as Figures 1 and 2 of arXiv 2405.15074 do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.optimum import NARROWEST
from shapeflow.laws.random_features.phase import BOUNDARIES, Name, phase_of
from shapeflow.laws.random_features.problem import outside
from shapeflow.laws.random_features.study import Study
from shapeflow.preview.picture import pyplot_for, save

COLORS: dict[Name, str] = {
    "Ia": "#cfe3f2",
    "Ib": "#a9cce3",
    "Ic": "#7fb3d5",
    "II": "#d5ecd4",
    "III": "#fbe3b9",
    "IVa": "#f5cba7",
    "IVb": "#e8b4a0",
}
CELLS = 300
"""Pixels of the map of phases along each axis."""
WIDTHS = tuple(2**power for power in range(4, 13))
"""Widths that are drawn if none are asked for."""
PER_OCTAVE = 2
"""Widths of the envelope per factor 2."""


def draw(study: Study, curve: Callable[[float], LossCurve | None], path: Path) -> None:
    """Draw the map and the losses. `curve`: that of a width, None where SGD diverges. Raises Refused if matplotlib is
    missing or the file extension is unknown."""
    pyplot = pyplot_for(path)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained", width_ratios=(1, 1.4))
    _map(left, study)
    _losses(right, study, curve)
    save(figure, path)
    pyplot.close(figure)


def _map(axes: Any, study: Study) -> None:
    """The plane of alpha and beta."""
    from matplotlib.colors import to_rgb

    high = max(1.25, 1.15 * study.alpha, 1.15 * study.beta)
    places = (np.arange(CELLS) + 0.5) / CELLS * high
    names = [[None if outside(a, b) else phase_of(a, b).name for a in places.tolist()] for b in places.tolist()]
    pixels = [[to_rgb("white" if name is None else COLORS[name]) for name in row] for row in names]
    axes.imshow(pixels, origin="lower", extent=(0, high, 0, high), interpolation="nearest", aspect="equal")
    for boundary in BOUNDARIES:
        (x, y), (dx, dy), length = boundary.origin, boundary.direction, min(boundary.length, 2 * high)
        axes.plot([x, x + length * dx], [y, y + length * dy], color="#444444", lw=0.9)
    grid = np.array(names, dtype=object)
    for name in COLORS:
        rows, columns = np.nonzero(grid == name)
        where = (float(np.median(places[columns])), float(np.median(places[rows])))
        axes.text(*where, name, ha="center", va="center", fontsize=8 if name == "IVb" else 11, color="#333333")
    axes.text(0.16, 0.16, "no\npower law", ha="center", va="center", fontsize=8, color="#333333")
    axes.plot(study.alpha, study.beta, "*", color="#c0392b", ms=15, mec="white", zorder=5)
    axes.set(xlim=(0, high), ylim=(0, high), xlabel="alpha: decay of the data", ylabel="beta: decay of the target")
    axes.set_title(f"alpha {study.alpha:g}, beta {study.beta:g}: phase {study.phase.name}", fontsize=10)


def _losses(axes: Any, study: Study, curve: Callable[[float], LossCurve | None]) -> None:
    """Losses of some widths, and their envelope: the loss at the best width."""
    from matplotlib import colormaps

    widths = sorted(one.width for one in study.widths) or WIDTHS
    drawn = [(width, found) for width in widths if (found := curve(width)) is not None]
    if not drawn:
        return
    compute = np.geomspace(drawn[0][1].step_compute, _last(study, drawn[-1][1]), 200)
    for number, (width, found) in enumerate(drawn):
        color = colormaps["viridis"](0.9 * number / max(len(drawn) - 1, 1))
        here = compute[compute >= found.step_compute]
        axes.plot(here, found.loss(here / found.step_compute), color=color, lw=1.2, label=f"width {width}")
    best = np.min([_from_first(found, compute) for found in _dense(study, drawn, curve)], axis=0)
    axes.plot(compute, best, color="#c0392b", lw=2.2, ls="--", label="best width", zorder=4)
    _slope(axes, study, compute, best)
    for one in study.optima:
        axes.plot(one.compute, one.loss, "o", color="#c0392b", zorder=5)
    axes.set(xscale="log", yscale="log", xlabel="compute, FLOPs (batch x width x steps)", ylabel="expected loss")
    axes.set_ylim(best.min() / 3, 2 * best.max())
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.set_title(f"batch {study.batch}, on average over random features", fontsize=10)


def _last(study: Study, widest: LossCurve) -> float:
    """FLOPs at which the picture ends: after the largest budget, or where the widest model is close to its floor."""
    budgets = [3 * one.compute for one in study.optima]
    return max([10 * widest.step_compute, *budgets]) if budgets else 3 * widest.compute(1.5 * widest.floor)


def _dense(
    study: Study, drawn: Sequence[tuple[int, LossCurve]], curve: Callable[[float], LossCurve | None]
) -> list[LossCurve]:
    """Curves of many widths, from the narrowest that is described well to more than all that are shown."""
    high = max(4.0 * drawn[-1][0], *(2 * one.width for one in study.optima), 0)
    features = study.settings["features"]
    high = high if features is None else min(high, features - 1)
    octaves = math.log2(max(high / NARROWEST, 2))
    widths = np.geomspace(NARROWEST, high, round(PER_OCTAVE * octaves) + 1).tolist()
    return [found for width in widths if (found := curve(width)) is not None]


def _from_first(curve: LossCurve, compute: Any) -> Any:
    """Losses after some FLOPs; infinite before the first step."""
    return np.where(compute >= curve.step_compute, curve.loss(compute / curve.step_compute), np.inf)


def _slope(axes: Any, study: Study, compute: Any, best: Any) -> None:
    """The theoretical exponent, as a line next to the later half of the envelope."""
    middle, exponent = len(compute) // 2, study.phase.loss_exponent
    line = 2.0 * best[middle] * (compute[middle:-20] / compute[middle]) ** -exponent
    axes.plot(compute[middle:-20], line, color="#333333", lw=1.0, ls=":", label=f"compute^-{exponent:.3g}, theory")
