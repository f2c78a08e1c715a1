"""Cross-entropy against class labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from shapeflow_torch.objectives.parts import Asked, Objective, cross_entropy


class CrossEntropy(Objective):
    """See the component of the same name."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._smoothing = float(settings["label_smoothing"])

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        return cross_entropy(logits, asked.targets, self._smoothing)
