"""What a plan costs in the unit that its file minimises."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.base.units import cost
from shapeflow.ir.plan import Charge, Plan
from shapeflow.preview.numbers import duration


def charged(plan: Plan, seconds: float) -> str | None:
    """The cost of a time as text; None if the plan minimises compute or time, or does not state what it minimises."""
    amount = None if plan.charge is None else plan.charge.of(seconds)
    return None if plan.charge is None or amount is None else cost(amount, plan.charge.dimension)


def charge_lines(plan: Plan) -> Iterator[str]:
    """How the cost of the plan follows from its seconds."""
    if plan.charge is None or plan.totals.seconds is None:
        return
    if (total := charged(plan, plan.totals.seconds)) is None:
        return
    devices = f"{plan.charge.devices} device{'s' * (plan.charge.devices != 1)}"
    yield f"{total}: {duration(plan.totals.seconds, 4)} of {devices}{_prices(plan.charge)}, the same in every shape"


def _prices(charge: Charge) -> str:
    settings = charge.cost.settings
    words = {
        "price": " at {:g} dollars an hour each",
        "watts": " at {:g} W each",
        "pue": ", PUE {:g}",
        "grid": ", {:g} kg CO2e per kWh",
    }
    return "".join(text.format(settings[name]) for name, text in words.items() if isinstance(settings.get(name), float))
