"""Descriptions of the fit of a joint law for reports."""

from __future__ import annotations

from typing import Any

from shapeflow.ir.joint import EXPONENTS, NAMES
from shapeflow.laws.joint.solver import GRID, STARTS
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.runs import Logs


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


def joint_columns(logs: Logs, of_model: bool) -> str:
    """Return which columns hold N, D and the loss, for the screen. `of_model`: whether the file has a model, which says
    the compute of a token, and N unless a column does."""
    per_token = "the model's FLOPs of a token" if of_model else "(6 N)"
    size = "that of the model" if logs.size is None else _column(logs.size, logs)
    if logs.product is None:
        data = "the tokens of the runs"
    elif not of_model and (tokens := [name for name in logs.product.columns if _counts_data(name)]):
        data = " * ".join(_column(name, logs) for name in tokens)
    else:
        written = " * ".join((f"{logs.product.factor:g}", *logs.product.columns))
        data = f"compute / {per_token}, with compute `{written}`"
        if len(logs.product.columns) == 1 and logs.product.factor == 1:
            data = f"compute / {per_token}, with compute {_column(logs.product.columns[0], logs)}"
    return f"N: {size}, D: {data}" + ("" if logs.error is None else f", loss: {_column(logs.error, logs)}")


def _counts_data(name: str) -> bool:
    return words.is_tokens(name) or name in ("D", "d") or words.is_epochs(name)


def _column(name: str, logs: Logs) -> str:
    how = logs.found.get(name)
    return f"`{name}`" + (f" ({how})" if how else "")
