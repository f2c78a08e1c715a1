"""Shows what a plan predicted next to what a comparison measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.plan import Plan
from shapeflow.preview.answer import DOUBTS
from shapeflow.preview.intervals import between
from shapeflow.preview.numbers import error, percent
from shapeflow.running.rivals import Prediction, Why

REASONS: Mapping[Why, str] = {
    **dict(DOUBTS.items()),
    "no-laws": "the plan has no laws",
    "stated": "laws that are not measured have no interval",
    "other-metric": "the laws predict another metric than the one that is compared",
    "other-target": "the laws predict savings at the end of the plan, not at this target",
    "other-unit": "the plan predicts a saving of steps or data, not of compute",
    "never": "not every run reaches the target",
    "not-predicted": "the plan has no interval for it",
    "unpiloted": "the law predicts constant mixtures of the two shapes of the plan only",
}


def predictions_view(found: Sequence[Prediction], plan: Plan) -> RenderableType:
    """A table of predicted and measured values, and why some of them were not predicted."""
    level = 0.9 if plan.uncertainty is None else plan.uncertainty.level
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    for name in ("predicted", f"{100 * level:.3g}% interval", "measured"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in found:
        name, written = _written(one, plan)
        pair = None if one.low is None or one.high is None else (one.low, one.high)
        measured = "-" if one.measured is None else written(one.measured)
        predicted = "-" if one.predicted is None else written(one.predicted)
        table.add_row(name, predicted, between(pair, written), measured, one.says)
    reasons = dict.fromkeys((one.says, REASONS[one.why]) for one in found if one.why is not None)
    return Group(table, *(Text(f"  {says}: {why}") for says, why in reasons))


def _written(one: Prediction, plan: Plan) -> tuple[str, Callable[[float], str]]:
    """The name of a quantity, and how its values are written."""
    if one.what == "error":
        return f"{plan.metric} at the end", lambda value: error(value, plan.metric)
    if one.rival is not None:
        return f"saving over {one.rival}", percent
    return f"saving over the {one.what} fixed shape".replace("last fixed", "fixed last"), percent
