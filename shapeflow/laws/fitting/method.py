"""Descriptions of the fitting method for reports."""

from __future__ import annotations

from typing import Any

from shapeflow.base.units import Amount
from shapeflow.laws.fitting.projection import GRID_B, GRID_D, NEGATIVE
from shapeflow.laws.fitting.solver import B_HIGH, B_LOW, POOLED_GRID, STARTS, FitOptions


def method(options: FitOptions, laws: int, drop_warmup: Amount, points: int | str) -> dict[str, Any]:
    """Return the description of a fit of `laws` laws as JSON values: parameters, points, loss and optimiser."""
    kind = options.kind(laws)
    low = "0" if options.offset == "nonnegative" else f"-{NEGATIVE:g} of the first compute"
    bounds = {"a": "above 0", "b": [B_LOW, B_HIGH], "c": "from 0 to below the lowest error", "d": f"from {low}"}
    return {
        "parameters": {
            "free": ["a", "c", "d"] if kind == "fixed" else ["a", "b", "c", "d"],
            "fixed": {"b": options.fixed} if kind == "fixed" else {},
            "shared by all laws": ["b"] if kind != "own" else [],
            "bounds": bounds if kind != "fixed" else {name: bounds[name] for name in "acd"},
        },
        "points": {
            "kind": "measurements along each run, not its last alone; no smoothing",
            "chosen": f"up to {points} a law, the measured ones nearest to the middles of equal bins of log compute",
            "left out at the beginning of each run": drop_warmup.said,
        },
        "weighting": "every chosen point of a law alike" + ", each law by its own scatter" * (kind == "pooled"),
        "loss": {
            "name": "huber",
            "delta": options.delta,
            "residual": {"log": "log(law) - log(measured)", "linear": "(law - measured) / lowest measured"}[
                options.residual
            ],
        },
        "optimiser": {
            "name": "variable projection over a grid of (b, d), then Levenberg-Marquardt with a falling delta",
            "starts": f"a law: the {STARTS} lowest local minima of a grid of {_grid(kind)}",
            "winner": "the least summed loss",
        },
    }


def ends_method(options: FitOptions, laws: int) -> dict[str, Any]:
    """Return the description of a fit of `laws` laws to ends of runs as JSON values."""
    kind = options.kind(laws)
    return {
        "parameters": {
            "free": ["a", "c"] if kind == "fixed" else ["a", "b", "c"],
            "fixed": {"d": 0.0, **({"b": options.fixed} if kind == "fixed" else {})},
            "shared by all laws": ["b"] if kind == "pooled" else [],
        },
        "points": {"kind": "the end of each run, which finished its own schedule"},
        "weighting": "every end alike",
        "loss": {"name": "huber", "delta": options.delta, "residual": "log(law) - log(measured)"},
        "optimiser": {"name": "variable projection over a grid of b, which is then refined"},
    }


def ends_summary(options: FitOptions) -> str:
    """Return a short description of the fit to ends of runs for the screen."""
    return f"each point is the end of a run; d is 0; Huber loss of log(law) - log(measured), delta {options.delta:g}"


def summary(options: FitOptions) -> str:
    """Return a short description of the method for the screen."""
    sign = {"signed": "d may be negative", "nonnegative": "d is 0 or more"}[options.offset]
    residual = {"log": "log(law) - log(measured)", "linear": "law - measured"}[options.residual]
    return f"{sign}; Huber loss of {residual}, delta {options.delta:g}"


def _grid(kind: str) -> str:
    if kind == "own":
        return f"{GRID_B} b by {GRID_D} d"
    return f"{GRID_D} d at each of {POOLED_GRID} b" if kind == "pooled" else f"{GRID_D} d"
