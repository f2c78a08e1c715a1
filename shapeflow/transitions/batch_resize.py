"""Batch: a property of the data and the learning rate. Parameters do not change."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import BASE, Amount, Dimension
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, EditError, Swap
from shapeflow.ir.parameters import DataFacts, Model, Preserves


@attrs.frozen
class BatchResize(TransitionHooks):
    """Moves along `batch`, in both directions: more or fewer images, or tokens, per step. Weights, their average and
    the optimizer's state do not change.

    The optimizer's learning rate applies to the batch of the `data` sentence. At r times that batch it is multiplied
    by the square root of r (`sqrt`, for Adam: Malladi et al., arXiv 2205.10287), by r (`linear`, for SGD: Goyal et al.,
    arXiv 1706.02677), or not changed (`keep`). If it was tuned for each batch, use `table`: `factors` lists one factor
    on the optimizer's learning rate for each batch of `at`. The learning rate depends only on the shape, so a run that
    stays in one shape and a run that switches to it use the same one.

    With `beta2: samples` the optimizer's second moment and the average of the weights span the same number of samples
    at every batch: at r times the batch of the `data` sentence their decays are raised to the power r. This is meant
    for long memories: 0.999 becomes 0.992 at 8 times the batch, 0.95 becomes 0.66.

    A stage has one learning rate, so it cannot blend two batches. `credit` was not measured for batches."""

    axis: ClassVar[str] = "batch"
    one_way: ClassVar[bool] = False
    blends: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "exact"
    average: ClassVar[Literal["map", "restart"]] = "map"
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    lr: Literal["sqrt", "keep", "linear", "table"] = setting(
        default="sqrt", help="how the learning rate follows the batch of the `data` sentence"
    )
    at: tuple[Amount, ...] = setting(
        "number", "samples", "tokens", default=(), low=1, help="batches of a `table`, in ascending order"
    )
    factors: tuple[float, ...] = setting(
        default=(), above=0.0, help="factors of a `table` on the optimizer's learning rate, one per batch"
    )
    beta2: Literal["keep", "samples"] = setting(
        default="keep", help="what the span of the second moment and the average is constant in: steps or samples"
    )
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `missing-setting`, `idle-setting`, `rate-table`."""
        for name, said in (("at", self.at), ("factors", self.factors)):
            if said and self.lr != "table":
                message = f"without `lr: table` the setting `{name}` is not used"
                help = f"add `lr: table`, or leave `{name}` out"
                raise EditError("idle-setting", message, why="has no effect", help=help, setting=name)
            if not said and self.lr == "table":
                message = f"`lr: table` needs the setting `{name}`"
                help = "list the batches and their factors: `at: [64, 256], factors: [1, 1.8]`"
                raise EditError("missing-setting", message, why=f"`{name}` is not set", help=help, setting="lr")
        if len(self.factors) != len(self.at):
            why, help = f"{len(self.factors)} for {len(self.at)} batches", "list one factor for each batch of `at`"
            raise EditError(
                "rate-table", "a table needs one factor for each batch", why=why, help=help, setting="factors"
            )
        if any(after.value <= before.value for before, after in itertools.pairwise(self.at)):
            message, help = (
                "the batches of a table must be in ascending order",
                "list each batch once, in ascending order",
            )
            raise EditError("rate-table", message, why="not in ascending order", help=help, setting="at")

    def agree(self, dimension: Dimension, values: tuple[Value, ...]) -> None:
        """Check that a table has a factor for each value of the axis. Raises EditError `rate-table`, `wrong-unit`."""
        if other := next((amount for amount in self.at if amount.dimension != dimension), None):
            message = (
                f"the axis counts its batches in {BASE[dimension] or 'plain numbers'}, and the table lists `{other}`"
            )
            help = "write `at` in the unit of the axis"
            raise EditError("wrong-unit", message, why="a different unit", help=help, setting="at")
        listed = [amount.value for amount in self.at]
        missing = [value for value in values if value not in listed]
        if self.lr == "table" and missing:
            message = f"the table has no factor for a batch of {missing[0]}"
            help = "list every batch of the axis: factors are not interpolated"
            raise EditError("rate-table", message, why="not in this list", help=help, setting="at")

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("batch", shape.number("batch")),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        return self.reading(model, after)

    def learning_rate(self, facts: DataFacts, shape: Shape) -> float:
        """The factor on the optimizer's learning rate in a shape."""
        ratio = shape.number("batch") / facts.batch
        if self.lr == "table":
            listed = [amount.value for amount in self.at]
            return self.factors[listed.index(shape.number("batch"))]
        return {"sqrt": math.sqrt(ratio), "keep": 1.0, "linear": ratio}[self.lr]

    def memory(self, facts: DataFacts, shape: Shape) -> float:
        """The exponent of decays in a shape: one step counts as this many steps at the batch of the data."""
        return shape.number("batch") / facts.batch if self.beta2 == "samples" else 1.0
