"""Batch: a setting of the data and of the learning rate, no parameter changes."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import attrs

from shapeflow.edits import Edit, Swap
from shapeflow.parameters import DataFacts, Model, Moments, Preserves
from shapeflow.settings import setting
from shapeflow.shapes import Shape


@attrs.frozen
class BatchResize:
    """Moves along `batch`, both ways: more or fewer images, or tokens, in a step. Weights, their average and the
    optimizer's state stay as they are.

    The optimizer's learning rate is stated for the batch of the `data` sentence. At r times that batch it is multiplied
    by the square root of r (`sqrt`, for Adam: Malladi et al., arXiv 2205.10287), by r (`linear`, for SGD: Goyal et al.,
    arXiv 1706.02677), or not at all (`keep`). It depends on the shape alone, so that a run that stays in one shape and
    a run that comes to it are alike.

    No stage blends two batches, since it has one learning rate. `credit` was not measured for batches."""

    axis: ClassVar[str] = "batch"
    one_way: ClassVar[bool] = False
    blends: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "exact"
    moments: ClassVar[Moments] = "carry"
    average: ClassVar[Literal["map", "restart"]] = "map"
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    lr: Literal["sqrt", "keep", "linear"] = setting(
        default="sqrt", help="how the learning rate follows the batch of the `data` sentence"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Nothing: no parameter depends on the batch."""
        return {}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Every batch can follow every other; whether contexts divide it is asked of whole shapes."""

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("batch", shape.number("batch")),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        return self.reading(model, after)

    def learning_rate(self, facts: DataFacts, shape: Shape) -> float:
        """The factor on the optimizer's learning rate in a shape."""
        ratio = shape.number("batch") / facts.batch
        return {"sqrt": math.sqrt(ratio), "keep": 1.0, "linear": ratio}[self.lr]
