"""How well the measured curve of each shape is known: the draws by which a plan was answered."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.plan import Plan
from shapeflow.laws.fitting.posterior import PRIOR_WEIGHT, Draws, posterior

ENDS = (0.05, 0.95)
"""Of the 90% interval."""
Band = list[tuple[float, float, float]]


def law_bands(plan: Plan) -> Mapping[Shape, Band]:
    """(FLOPs, low, high) of the error of each shape over its measurements: the 90% interval of the mean of all possible
    runs. Empty for laws that were not fitted to runs."""
    laws = {one.shape: one.law for one in plan.candidates if one.law is not None}
    curves = {shape: law.provenance.curve for shape, law in laws.items() if law.provenance.curve is not None}
    if not curves:
        return {}
    try:
        with np.errstate(all="ignore"):
            found = posterior(curves, prior_of(plan, curves))
            bands = {shape: _band(draws) for shape, draws in found.curves.items()}
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        # A plan file may state a curve that no run has: without draws, it has no band.
        return {}
    return {shape: band for shape, band in bands.items() if np.isfinite(band).all()}


def prior_of(plan: Plan, curves: Mapping[Shape, MeasuredCurve]) -> float:
    """The prior difference of runs with which the plan was answered, from the difference that it led to; 0 if the plan
    does not state one."""
    differ = None if plan.answer is None else plan.answer.differ
    if differ is None:
        return 0.0
    freedom = PRIOR_WEIGHT + sum(curve.runs - 1 for curve in curves.values())
    spread = sum(curve.spread for curve in curves.values())
    return math.sqrt(max(differ**2 * freedom - spread, 0.0) / PRIOR_WEIGHT)


def _band(draws: Draws) -> Band:
    measured = draws.grid <= draws.last * (1 + 1e-12)
    at, places = draws.grid[measured], draws.places(draws.runs)
    errors = [np.interp(at, place, curve) for place, curve in zip(places, draws.log_error, strict=True)]
    low, high = np.exp(np.quantile(np.array(errors), ENDS, axis=0))
    return list(zip(np.exp(at).tolist(), low.tolist(), high.tolist(), strict=True))
