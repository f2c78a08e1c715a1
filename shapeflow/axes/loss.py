"""The objective that a step minimises."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model


@attrs.frozen
class Loss(AxisHooks):
    """The objective that a step minimises. Its values are names of objectives without required settings, or names that
    `let` gives to objectives with settings, as in `let smooth = cross_entropy(label_smoothing: 10%)`. The axis replaces
    the `objective` sentence. Values of different losses cannot be compared: laws use the file's metric, which is the
    same for all of them."""

    dimension: ClassVar[Dimension] = "name"
    unit: ClassVar[str] = ""
    names: ClassVar[str] = "objective"
    example: ClassVar[str] = "[cross_entropy, smooth]"
    order: ClassVar[int] = 70
    usual: ClassVar[str] = "loss_switch"

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`."""
        if not isinstance(value, str):
            raise EditError("wrong-value", f"`{value}` is not the name of an objective")
