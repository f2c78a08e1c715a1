"""torch's SGD with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from shapeflow.optimizers.sgd import Sgd as Declared
from shapeflow_torch.optimizers.eager import EagerSGD
from shapeflow_torch.optimizers.parts import Member, Optimizer


class DecayedSGD(EagerSGD):
    """SGD with decoupled weight decay: weights are multiplied by 1 - lr * `decay` of their group before the update."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one update of every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["decay"] and moved:
                torch._foreach_mul_(moved, 1 - group["lr"] * group["decay"])
        super().step()


class Sgd(Optimizer[Declared]):
    declaration: ClassVar[type[Any]] = Declared

    def build(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        own = self.settings
        return DecayedSGD(groups, own.lr, own.momentum, nesterov=own.nesterov)

    def options(self, member: Member) -> dict[str, Any]:
        found = super().options(member)
        # torch adds its own `weight_decay` to the gradient, and so to the momentum.
        return {**found, "decay": found["weight_decay"], "weight_decay": 0.0}
