"""The updates of Signum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from shapeflow_plugin_example.signum import Signum as Declared
from shapeflow_torch import Optimizer


class Signs(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    held = state.setdefault("momentum", torch.zeros_like(weight))
                    held.mul_(group["momentum"]).add_(weight.grad, alpha=1 - group["momentum"])
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(held.sign(), alpha=-group["lr"])


class Signum(Optimizer[Declared]):
    declaration: ClassVar[type[Any]] = Declared

    def build(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        return Signs(groups, {"lr": self.settings.lr, "momentum": self.settings.momentum})
