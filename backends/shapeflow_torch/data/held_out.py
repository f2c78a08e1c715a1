"""The diagnostic for an evaluation on more or less held-out data than there can be."""

from __future__ import annotations

from shapeflow.base.diagnostics import Diagnostic


def too_little(asked: int, most: int, least: int, unit: str) -> Diagnostic:
    """`most`, `least`: the largest and the smallest number that can be evaluated on; `unit`: tokens or images."""
    message = f"the plan evaluates on {asked:,} {unit}, and the held-out data has {most:,}"
    if asked < least:
        message = f"the plan evaluates on {asked:,} {unit}, and one window of the longest context has {least:,}"
    ways = f"write `on N {unit}` with a number from {least:,} to {most:,}, or " if least <= most else ""
    return Diagnostic("too-little-held-out", message, place="evaluate", help=f"{ways}hold out more data")
