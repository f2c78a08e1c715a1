"""How numbers are written: compute with one prefix per column, errors in percent, losses in nats."""

from __future__ import annotations

from collections.abc import Iterable

from shapeflow.base.units import flops

_PREFIXES = (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))

__all__ = ["count", "error", "flops", "longest", "percent", "scale", "share"]


def scale(largest: float) -> tuple[str, float]:
    """The prefix and size in which the largest number of a column has one to three digits before the point."""
    return next(((prefix, size) for prefix, size in _PREFIXES if largest >= size), ("", 1.0))


def error(value: float | None, metric: str) -> str:
    """An error or a loss: errors are shares and shown in percent, losses are in nats."""
    if value is None:
        return "-"
    return f"{100 * value:.4g}%" if "error" in metric else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A saving: signed, in percent."""
    return "-" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}%"


def share(value: float) -> str:
    return f"{100 * value:.3g}%"


def count(value: int | None) -> str:
    """A whole number, its digits in groups of three."""
    return "-" if value is None else f"{value:,}".replace(",", " ")


def longest(texts: Iterable[str]) -> int:
    """Characters of the longest word of some texts."""
    return max((len(word) for text in texts for word in text.split()), default=0)
