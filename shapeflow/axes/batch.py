"""How much data one step takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model


@attrs.frozen
class Batch(AxisHooks):
    """The images of one step, or the tokens of one step of text. It takes the place of the data's own `batch`, which is
    then the batch that the optimizer's learning rate is stated for."""

    dimension: ClassVar[Dimension] = "number"
    unit: ClassVar[str] = ""
    counts: ClassVar[Mapping[str, tuple[Dimension, ...]]] = {"images": ("number", "samples"), "text": ("tokens",)}
    example: ClassVar[str] = "[64, 256]"

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a batch of `{value}` is no number of {facts.kind}")
        if facts.samples is not None and value > facts.samples:
            why = f"an epoch has {facts.samples:,}"
            raise EditError("wrong-value", f"a step of {value:,} images takes more than the data has", why=why)
