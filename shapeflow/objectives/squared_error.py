"""Squared error of a number."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.parameters import Convention, DataFacts


@attrs.frozen
class SquaredError(ObjectiveHooks):
    """The squared difference between prediction and target, averaged over the batch, without a factor 1/2. For data of
    vectors."""

    data: ClassVar[str] = "vectors"
    reserved: ClassVar[int] = 0

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """0: no compute in addition to that of the model."""
        return 0.0
