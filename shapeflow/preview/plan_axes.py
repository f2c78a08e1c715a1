"""The axes of figures about plans."""

from __future__ import annotations

from shapeflow.ir.plan import Plan
from shapeflow.preview.figure import Axis
from shapeflow.preview.numbers import clock, scale

PIECES = 64
"""Stretches of a line that is drawn."""
WIDE = 30.0
"""Ratio of the largest to the smallest error from which the axis of errors is logarithmic."""


def errors_axis(metric: str, low: float, high: float) -> Axis:
    """The axis of errors, with some space; logarithmic over a wide range."""
    share = "error" in metric and "squared" not in metric
    if low > 0 and high > WIDE * low:
        return Axis(metric, low / 1.2, high * 1.2, log=True, share=share)
    room = 0.05 * (high - low) or 0.05 * abs(low) or 1.0
    return Axis(metric, low - room, high + room, share=share)


def compute_axis(plan: Plan, low: float, high: float) -> tuple[Axis, float]:
    """The axis of compute or training time, and what its unit is in FLOPs or seconds."""
    if not plan.in_seconds:
        return flops_axis(plan.convention, low, high)
    return time_axis(low, high)


def spaced(low: float, high: float, pieces: int = PIECES) -> list[float]:
    """Values from low to high, evenly spaced in log."""
    return [low * (high / low) ** (piece / pieces) for piece in range(pieces + 1)]


def time_axis(low: float, high: float) -> tuple[Axis, float]:
    """The axis of training time, and what its unit is in seconds."""
    unit, size = clock(high)
    return Axis(f"training time, {unit}", low / size, high / size, log=True, unit=unit), size


def flops_axis(convention: str, low: float, high: float) -> tuple[Axis, float]:
    """The axis of compute, and what its unit is in FLOPs."""
    prefix, size = scale(high)
    label, unit = f"training compute, {prefix}FLOPs ({convention})", f"{prefix}FLOPs"
    return Axis(label, low / size, high / size, log=True, unit=unit), size
