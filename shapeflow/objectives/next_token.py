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
        """No compute in addition to the model's."""
        return 0.0
