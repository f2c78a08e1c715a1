"""Weighted sum of several objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from shapeflow.ir.plan import Spec
from shapeflow_torch.objectives.parts import Asked, Objective


class Mixture(Objective):
    """See the component of the same name. Objectives with weight 0 are not computed."""

    def __init__(self, settings: Mapping[str, Any], part: Callable[[Spec], Objective]) -> None:
        pairs = zip(settings["of"], settings["weights"], strict=True)
        self._parts = [(part(_spec(one)), float(weight)) for one, weight in pairs if weight]

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        return torch.stack([weight * one.loss(logits, asked) for one, weight in self._parts]).sum()


def _spec(written: Mapping[str, Any]) -> Spec:
    """Return the specification of a component written within another's settings."""
    return Spec(written["is"], {name: value for name, value in written.items() if name != "is"})
