"""The number of blocks of a transformer."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model


@attrs.frozen
class Depth(AxisHooks):
    """The number of blocks of a transformer. Compute is proportional to it, except for that of the embedding and
    head."""

    dimension: ClassVar[Dimension] = "number"
    unit: ClassVar[str] = ""
    example: ClassVar[str] = "[6, 12]"
    order: ClassVar[int] = 10
    usual: ClassVar[str] = "depth_expand"
    columns: ClassVar[tuple[str, ...]] = ("n_layer", "n_layers", "num_layers", "num_hidden_layers", "layers")

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a depth of `{value}` is not a positive whole number")
