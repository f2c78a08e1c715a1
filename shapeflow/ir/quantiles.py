"""Quantiles of draws, of which some may be infinite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shapeflow.ir.edits import Floats


def quantiles(draws: Any, levels: Sequence[float], axis: int | None = None) -> Floats:
    """(levels, ...): `np.quantile`, also where values are infinite. A level between a finite value and an infinite one
    is infinite, as is one between two of the same infinity; numpy subtracts them and warns. NaN where a value is."""
    with np.errstate(invalid="ignore"):
        between = np.quantile(draws, levels, axis=axis)
    if np.isfinite(between).all():
        return np.asarray(between)
    low, high = (np.quantile(draws, levels, axis=axis, method=method) for method in ("lower", "higher"))
    return np.asarray(np.where(np.isfinite(low) & np.isfinite(high), between, np.where(np.isfinite(high), low, high)))
