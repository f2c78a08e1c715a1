"""Formats the shares of an answer: savings and probabilities, without a sign in front."""

from __future__ import annotations

from shapeflow.ir.answer import Range


def interval(one: Range) -> str:
    """The median in percent, with the ends of the 90% interval."""
    return f"{percent(one.middle)} ({percent(one.low)} to {percent(one.high)})"


def percent(value: float) -> str:
    """A share in percent, with one decimal."""
    return f"{round(100 * value, 1) + 0.0:.1f}%"


def share(value: float) -> str:
    """A share in percent, to two digits."""
    return f"{100 * value:.2g}%" if value < 0.995 else "100%"
