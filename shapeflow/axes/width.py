"""The number of channels of the residual stream."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model


@attrs.frozen
class Width(AxisHooks):
    """The number of channels of a transformer's residual stream. The width of a head stays the same, so every width
    must be a multiple of it; heads and hidden units grow in proportion."""

    dimension: ClassVar[Dimension] = "number"
    unit: ClassVar[str] = ""
    example: ClassVar[str] = "[192, 384]"
    order: ClassVar[int] = 20
    usual: ClassVar[str] = "width_expand"
    columns: ClassVar[tuple[str, ...]] = (
        "d_model", "hidden_size", "n_embd", "embed_dim", "model_dim", "hidden_dim", "dim", "dim_model", "dmodel",
        "embedding_dim", "emb_dim", "n_embed", "hidden_units", "units", "n_hidden", "num_hidden", "hidden_channels",
    )  # fmt: skip

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`, `head-width-mismatch`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a width of `{value}` is not a positive whole number")
        head = model.grain("heads") if model else 1
        if value % head:
            near = [width for width in (value // head * head, (value // head + 1) * head) if width]
            help = f"use {' or '.join(str(width) for width in near)}, the nearest multiples of {head}"
            message, why = (
                f"a width of {value} is not a multiple of the head width, {head}",
                f"{value % head} channels left over",
            )
            raise EditError("head-width-mismatch", message, why=why, help=help)
