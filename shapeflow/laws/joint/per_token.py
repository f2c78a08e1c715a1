"""The compute of one token as a function of the size."""

from __future__ import annotations

import numpy as np

from shapeflow.ir.joint import PerToken
from shapeflow.laws.logs.points import Floats

EXACT = 1e-9
"""Scatter of log compute per token and parameter below which it is a constant."""
NEAR = 0.02
"""Scatter below which a constant describes it well enough: counts of compute are rounded, or read off figures."""


def power_law(size: Floats, compute: Floats) -> PerToken:
    """Return the compute of a token as a multiple of the size, or else as a power of it. `compute`: that of a token at
    each size."""
    n, k = np.log(size), np.log(compute)
    scatter = float(np.std(k - n))
    if scatter < NEAR or np.ptp(n) == 0:
        middle = float(np.median(k - n))
        off = 0.0 if scatter < EXACT else float(np.abs(np.expm1(middle + n - k)).max())
        return PerToken(factor=float(np.exp(middle)), off=off)
    power, factor = np.polyfit(n, k, 1)
    off = float(np.abs(np.expm1(power * n + factor - k)).max())
    return PerToken(factor=float(np.exp(factor)), power=float(power), off=off)
