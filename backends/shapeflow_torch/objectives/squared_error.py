"""Squared error of a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from shapeflow_torch.objectives.parts import Asked, Objective


class SquaredError(Objective):
    """See the component of the same name."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        del settings

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        return (logits[:, 0] - asked.targets.to(logits.dtype)).square().mean()
