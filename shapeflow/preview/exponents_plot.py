"""Plots measured curves of several widths, their crossings, and the fitted power law through them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.laws.exponents.measure import Findings
from shapeflow.preview.picture import pyplot_for, save

BEYOND = math.log(3.0)
"""The fitted lines are drawn this far beyond the crossings, in log compute."""
RED = "#c0392b"


def draw(found: Findings, path: Path) -> None:
    """Draw the losses and the best width over compute. Raises Refused if matplotlib is missing or the file extension is
    unknown."""
    pyplot = pyplot_for(path)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained", width_ratios=(1.4, 1))
    places = np.linspace(math.log(found.compute[0]) - BEYOND, math.log(found.compute[1]) + BEYOND, 50)
    _losses(left, found, places)
    _widths(right, found, places)
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="compute, FLOPs")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)
    pyplot.close(figure)


def _losses(axes: Any, found: Findings, places: Any) -> None:
    from matplotlib import colormaps

    members = found.family.members
    for number, one in enumerate(members):
        color = colormaps["viridis"](0.9 * number / max(len(members) - 1, 1))
        axes.plot(np.exp(one.log_compute), np.exp(one.log_loss), color=color, lw=1.2, label=f"width {one.width}")
    label = f"compute^-{found.eta.value:.3g}" + ("" if found.floor is None else " above the floor")
    _band(axes, places, np.array([found.envelope.loss(place) for place in places]), label)
    axes.plot(
        [one.compute.value for one in found.crossings], [one.loss.value for one in found.crossings], "o", color=RED
    )
    axes.set(ylabel="loss")


def _widths(axes: Any, found: Findings, places: Any) -> None:
    widths = np.exp([found.envelope.log_width(place) for place in places])
    _band(axes, places, widths, f"compute^{found.xi.value:.3g}")
    middle = [math.sqrt(one.widths[0] * one.widths[1]) for one in found.crossings]
    compute = np.array([(one.compute.low, one.compute.value, one.compute.high) for one in found.crossings])
    axes.errorbar(compute[:, 1], middle, xerr=np.abs(compute[:, [0, 2]] - compute[:, [1]]).T, fmt="o", color=RED)
    axes.set(ylabel="best width")


def _band(axes: Any, places: Any, draws: Any, label: str) -> None:
    """A line and its 90% interval. `draws`: (places, draws)."""
    low, middle, high = np.nanquantile(draws, [0.05, 0.5, 0.95], axis=1)
    axes.fill_between(np.exp(places), low, high, color=RED, alpha=0.15, lw=0)
    axes.plot(np.exp(places), middle, color=RED, lw=1.6, ls="--", label=label)
