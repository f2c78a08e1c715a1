"""The option `--budget` of `shapeflow frontier` for a `.shape` file: FLOPs, or a time and what pays for it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import click

from shapeflow.base.units import UNITS, Amount, Dimension

if TYPE_CHECKING:
    from shapeflow.running.budgets import Unit

_AMOUNT = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_EXAMPLES: dict[Dimension, str] = {
    "compute": "1 GFLOPs",
    "seconds": "20 s",
    "energy": "1 Wh",
    "carbon": "10 g",
    "money": "2 dollars",
}
"""Dimension of a budget -> an amount of it."""


def amount_of(text: str) -> Amount:
    """The amount of `--budget`: `1 GFLOPs`, `1e9` (FLOPs), `20 s`, `2 dollars`. Raises BadParameter."""
    from shapeflow.stages.resolve.values import GREAT, SMALL

    found = _AMOUNT.fullmatch(text)
    unit = UNITS.get(found[2] or "FLOPs") if found else None
    value = 0.0
    with contextlib.suppress(ValueError):
        value = float(found[1]) if found else 0.0
    if unit is None or unit.dimension not in _EXAMPLES or not 0 < value < float("inf"):
        ways = "'1 GFLOPs', or '20 s' or '2 dollars' in a file that minimises them"
        message = f"`{text}` is not an amount of compute, of time or of a cost: write {ways}"
        raise click.BadParameter(message, param_hint="--budget")
    # The same bounds as those of a budget in a `.shape` file.
    if not SMALL <= (amount := unit.base(value)) <= GREAT:
        least, most = Amount(SMALL, unit.dimension), Amount(GREAT, unit.dimension)
        raise click.BadParameter(f"`{text}` is out of range: {least} to {most}", param_hint="--budget")
    return Amount(amount, unit.dimension)


def budget_of(amount: Amount, unit: Unit) -> float:
    """An amount in the unit of a file's budgets; one of the file's coin as the time that it pays for. Raises
    BadParameter."""
    from shapeflow.running.budgets import NOUNS

    if unit.accepts(amount):
        return unit.budget(amount)
    ways = [f"'{_EXAMPLES[one]}'" for one in (unit.coin, unit.dimension) if one is not None]
    help_ = f"write {' or '.join(ways)}"
    if not unit.timed:
        help_ += ", or add `minimise seconds` and a `profile`" * (amount.dimension == "seconds")
        help_ += ", or add `minimise` with its price and a `profile`" * (amount.dimension not in ("compute", "seconds"))
    minimised = NOUNS[unit.coin or unit.dimension]
    message = f"{amount} is an amount of {NOUNS[amount.dimension]}, and the file minimises {minimised}: {help_}"
    raise click.BadParameter(message, param_hint="--budget")
