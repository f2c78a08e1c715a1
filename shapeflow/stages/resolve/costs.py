"""Check what a file minimises against its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shapeflow.base.diagnostics import Label, Report, Span
from shapeflow.base.settings import name_of
from shapeflow.base.units import BASE, UNITS, Amount, Dimension
from shapeflow.ir.components import Cost
from shapeflow.language import syntax

_IN_TIME: Mapping[Dimension, tuple[Dimension, ...]] = {
    cost: (cost, "seconds") for cost in ("seconds", "energy", "carbon", "money")
}
"""Unit of a cost that follows from time -> the units that a budget may then have."""

_SENTENCES: Mapping[Dimension, str] = {
    "energy": "minimise joules(watts: 280)",
    "carbon": "minimise carbon(watts: 280)",
    "money": "minimise dollars(price: 2.50)",
}
"""Unit of a budget -> a sentence that it needs."""


def budget_notes(value: syntax.Value) -> Iterator[str]:
    """A note for a budget whose unit is refused, if its file does not say what the plan minimises."""
    unit = UNITS.get(value.unit) if isinstance(value, syntax.Quantity) else None
    if unit is not None and (sentence := _SENTENCES.get(unit.dimension)):
        yield f"a budget in `{BASE[unit.dimension]}` needs a sentence such as `{sentence}`"


def budget_units(cost: Cost | None, lengths: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    """The units that a budget may have: those of a run's length, and that of the stated cost."""
    return lengths if cost is None or cost.dimension in lengths else (*lengths, cost.dimension)


def check_cost(
    cost: Cost | None, budget: Amount | None, modelled: bool, spans: Mapping[str, Span], report: Report
) -> None:
    """Report a cost that follows from time in a file without a model (`no-model`), and a budget in another unit than
    the cost (`two-costs`)."""
    if cost is None:
        return
    name, span = name_of(cost), spans["minimise"]
    if cost.dimension != "compute" and not modelled:
        message, help_ = f"`minimise {name}` without a `model`", "add a `model` and a `profile`"
        report.error("no-model", message, span, "only a profile of a model knows seconds", help=help_)
    elif budget is not None and budget.dimension not in _IN_TIME.get(cost.dimension, (cost.dimension,)):
        message = f"the plan minimises {name}, and its budget is in {BASE[budget.dimension]}"
        why, also = "the plan makes the best of this amount", [Label(span, "another unit")]
        help_ = f"give the budget in {BASE[cost.dimension]}, or leave `minimise` out"
        report.error("two-costs", message, spans["budget"], why, also=also, help=help_)
