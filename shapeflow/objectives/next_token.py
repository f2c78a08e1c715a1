"""Cross-entropy of the next token."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.parameters import Convention, DataFacts


@attrs.frozen
class NextToken(ObjectiveHooks):
    """Cross-entropy of the next token, in nats per token, averaged over all positions of the context."""

    data: ClassVar[str] = "text"
    reserved: ClassVar[int] = 0

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """0: no compute in addition to that of the model."""
        return 0.0
