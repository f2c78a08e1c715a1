"""Descriptions of the fit of a joint law for reports."""

from __future__ import annotations

from typing import Any

from shapeflow.ir.joint import EXPONENTS, NAMES
from shapeflow.laws.joint.solver import GRID, STARTS


def joint_method(delta: float) -> dict[str, Any]:
    """Return the description of a fit as JSON values."""
    bounds: dict[str, Any] = dict.fromkeys("EAB", "0 or more")
    return {
        "parameters": {"free": list(NAMES), "bounds": {**bounds, "alpha": EXPONENTS, "beta": EXPONENTS}},
        "loss": {"name": "huber", "delta": delta, "residual": "log(law) - log(measured)"},
        "optimiser": {
            "name": "variable projection over a grid of (alpha, beta), then Levenberg-Marquardt with a falling delta",
            "starts": f"the {STARTS} lowest of {GRID} by {GRID} cells",
            "winner": "the least summed loss",
        },
    }


def joint_summary(delta: float) -> str:
    """Return a short description of the method for the screen."""
    return f"one law of all sizes; Huber loss of log(law) - log(measured), delta {delta:g}"
