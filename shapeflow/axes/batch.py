"""The amount of data per step."""

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
    """The number of images or vectors, or of tokens of text, per step. The axis replaces the `batch` of the data, which
    is then only the batch that the optimizer's learning rate is tuned for."""

    dimension: ClassVar[Dimension] = "number"
    unit: ClassVar[str] = ""
    counts: ClassVar[Mapping[str, tuple[Dimension, ...]]] = {
        "images": ("number", "samples"),
        "text": ("tokens",),
        "vectors": ("number", "samples"),
    }
    example: ClassVar[str] = "[64, 256]"
    # The batch comes before the context, which must divide it.
    order: ClassVar[int] = 50
    usual: ClassVar[str] = "batch_resize"
    columns: ClassVar[tuple[str, ...]] = ("batch_size", "global_batch_size", "tokens_per_step", "tokens_per_batch")
    fact: ClassVar[str] = "batch"

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a batch of `{value}` is not a positive whole number")
        if facts.samples is not None and value > facts.samples:
            why = f"an epoch has {facts.samples:,}"
            raise EditError("wrong-value", f"a batch of {value:,} images is larger than the data", why=why)
