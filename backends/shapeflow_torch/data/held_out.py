"""The diagnostics for an evaluation on more or less held-out data than there can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shapeflow.base.diagnostics import Diagnostic, Refused


def too_little(asked: int, most: int, least: int, unit: str) -> Diagnostic:
    """`most`, `least`: the largest and the smallest number that can be evaluated on; `unit`: tokens or images."""
    message = f"the plan evaluates on {asked:,} {unit}, and the held-out data has {most:,}"
    if asked < least:
        message = f"the plan evaluates on {asked:,} {unit}, and one window of the longest context has {least:,}"
    return Diagnostic(
        "too-little-held-out", message, place="evaluate", help=_ways(most, least, unit, "hold out more data")
    )


def shares_of(asked: int, ranges: Mapping[str, tuple[int, int]], weights: Sequence[float]) -> list[int]:
    """Split an evaluation among corpora by their weights, which add up to 1. `ranges`: the smallest and the largest
    number of tokens that each can be evaluated on.

    Raises Refused `too-little-held-out`."""
    tokens = [round(asked * weight) for weight in weights]
    each = list(zip(ranges.items(), weights, tokens, strict=True))
    least = max(math.ceil(low / weight) for (_, (low, _)), weight, _ in each)
    most = min(math.floor(high / weight) for (_, (_, high)), weight, _ in each)
    for (name, (low, high)), weight, own in each:
        if low <= own <= high:
            continue
        there = f"one window of the longest context has {low:,}" if own < low else f"its held-out text has {high:,}"
        message = f"the plan evaluates on {asked:,} tokens, {own:,} of them from the corpus `{name}`, and {there}"
        why = f"`{name}` has a weight of {weight:.3g} of all corpora"
        more = f"hold out more of `{name}`" if own > high else f"give `{name}` a larger weight"
        help_ = _ways(most, least, "tokens", more)
        raise Refused(Diagnostic("too-little-held-out", message, place="evaluate", notes=(why,), help=help_))
    return tokens


def _ways(most: int, least: int, unit: str, otherwise: str) -> str:
    """What to do instead: write a number that works, if there is one, or something else."""
    ways = f"write `on N {unit}` with a number from {least:,} to {most:,}, or " if least <= most else ""
    return f"{ways}{otherwise}"
