"""The number of tokens of a sequence."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model, fitting, sequences_of


@attrs.frozen
class Context(AxisHooks):
    """The length of a language model's sequences, in tokens. The number of tokens per step stays the same, so it must
    be a multiple of every context."""

    dimension: ClassVar[Dimension] = "tokens"
    unit: ClassVar[str] = "tokens"
    example: ClassVar[str] = "[128, 512] tokens"
    order: ClassVar[int] = 60
    usual: ClassVar[str] = "context_grow"
    columns: ClassVar[tuple[str, ...]] = ("ctx", "n_ctx", "context_length", "seq_len", "sequence_length", "block_size")
    data: ClassVar[str] = "text"
    caution: ClassVar[str] = (
        "each loss is measured at its shape's own context, and losses at different contexts are not directly "
        "comparable: `shapeflow compare` measures the loss at the longest context"
    )

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`, `wrong-data`, `context-too-long`, `tokens-per-step-not-integral`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a context of `{value}` is not a positive whole number")
        if facts.kind != self.data:
            raise EditError("wrong-data", f"`context` is an axis of text, the data is {facts.kind}")
        fitting(value, facts)
        if facts.batch:
            sequences_of(facts.batch, value)
