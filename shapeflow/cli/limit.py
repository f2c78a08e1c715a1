"""The option `--stop-after`: a time, or a cost that is one at the price of the plan."""

from __future__ import annotations

import contextlib
import math
import re
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shapeflow.base.units import UNITS, Amount

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan

ACCEPTED = ("seconds", "energy", "carbon", "money")
LONGEST = 1e9
"""Seconds beyond which a timer cannot be set everywhere."""

_AMOUNT = re.compile(r"\s*(\d+(?:_\d+)*(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)\s*", re.ASCII)


def limit(text: str) -> Amount:
    """The amount of `--stop-after`. Raises click.BadParameter."""
    found = _AMOUNT.fullmatch(text)
    unit = UNITS.get(found[2]) if found is not None else None
    if found is None or unit is None or unit.dimension not in ACCEPTED:
        raise click.BadParameter(f"`{text}` is neither a time nor a cost: write one such as `2 hours` or `5 dollars`")
    amount = Amount(unit.base(float(found[1])), unit.dimension)
    if not 0 < amount.value < math.inf:
        raise click.BadParameter(f"`{text}` is out of range: write a finite amount above 0")
    if amount.dimension == "seconds" and amount.value > LONGEST:
        raise click.BadParameter(f"`{text}` is out of range: write at most {LONGEST:.0e} s".replace("e+0", "e"))
    return amount


def seconds_of(amount: Amount, plan: Plan, devices: int) -> float:
    """The wall time of an amount. `devices`: those of the run. Raises click.BadParameter if a plan has no such
    price."""
    if amount.dimension == "seconds":
        return amount.value
    charge = plan.charge
    if charge is None or charge.per_second is None or charge.dimension != amount.dimension:
        why = f"the plan does not price a second in {amount.dimension}"
        ways = {"energy": "joules(watts: ...)", "carbon": "carbon(watts: ...)", "money": "dollars(price: ...)"}
        help_ = f"write `minimise {ways[amount.dimension]}` in the file, or a time"
        raise click.BadParameter(f"{why}: {help_}", param_hint="--stop-after")
    return min(LONGEST, amount.value / (charge.per_second / charge.devices * devices))


@contextlib.contextmanager
def stopped_after(seconds: float | None) -> Iterator[None]:
    """Send this process SIGALRM after some seconds, which ends a run as other signals do. None: never."""
    if seconds is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
