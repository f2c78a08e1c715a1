"""Cross-entropy against class labels."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.parameters import Convention, DataFacts


@attrs.frozen
class CrossEntropy(ObjectiveHooks):
    """Cross-entropy of the class labels, in nats, with optional label smoothing."""

    data: ClassVar[str] = "images"
    reserved: ClassVar[int] = 0

    label_smoothing: float = setting(
        "ratio", default=0.0, low=0.0, high=0.99, help="probability spread over all classes"
    )

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """0: no compute in addition to that of the model."""
        return 0.0
