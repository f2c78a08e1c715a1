"""Formats numbers: compute with one prefix per column, errors in percent, losses in nats."""

from __future__ import annotations

from collections.abc import Iterable

from shapeflow.base.units import duration, flops

_PREFIXES = (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))

__all__ = ["clock", "count", "duration", "error", "flops", "longest", "noun", "percent", "scale", "share"]


def scale(largest: float) -> tuple[str, float]:
    """The unit prefix and its factor with which the largest number of a column has one to three digits before the
    decimal point."""
    return next(((prefix, size) for prefix, size in _PREFIXES if largest >= size), ("", 1.0))


def clock(largest: float) -> tuple[str, float]:
    """The unit of time of a column whose largest number is this many seconds, and its seconds: those of `duration`."""
    return ("seconds", 1.0) if largest < 120 else ("minutes", 60.0) if largest < 7200 else ("hours", 3600.0)


def noun(unit: str) -> str:
    """What an answer counts, by its unit, as in "12% of the ..."."""
    return {"compute": "FLOPs", "seconds": "training time"}.get(unit, unit)


def error(value: float | None, metric: str) -> str:
    """An error or loss as text: errors are shares, shown in percent; losses and squared errors are numbers."""
    if value is None:
        return "-"
    return f"{100 * value:.4g}%" if "error" in metric and "squared" not in metric else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A saving as text: signed, in percent."""
    return "-" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}%"


def share(value: float) -> str:
    return f"{100 * value:.3g}%"


def count(value: int | None) -> str:
    """An integer as text, with digits in groups of three."""
    return "-" if value is None else f"{value:,}".replace(",", " ")


def longest(texts: Iterable[str]) -> int:
    """The length of the longest word in some texts, in characters."""
    return max((len(word) for text in texts for word in text.split()), default=0)
