"""Cross-entropy of the next token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from shapeflow_torch.objectives.parts import Asked, Objective, cross_entropy


class NextToken(Objective):
    """See the component of the same name."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        del settings

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        return cross_entropy(logits, asked.targets)
