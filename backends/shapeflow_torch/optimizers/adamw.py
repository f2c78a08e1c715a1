"""AdamW. Uses torch's fused AdamW, with an age per entry for parameters that have grown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import nn

from shapeflow.ir.components import Optimizer as AnySettings
from shapeflow.ir.rates import Factors
from shapeflow.optimizers.adamw import Adamw as Declared
from shapeflow_torch.optimizers.aged import AgedAdamW, Memory, ages_matter
from shapeflow_torch.optimizers.eager import EagerAdamW
from shapeflow_torch.optimizers.parts import Optimizer, State


class Settings(AnySettings, Protocol):
    """Settings of an optimizer that updates some parameters by AdamW. The result of `decays` has a `beta2`."""

    @property
    def beta1(self) -> float: ...

    @property
    def beta2(self) -> float: ...

    @property
    def eps(self) -> float: ...


S = TypeVar("S", bound=Settings)


class AdamwPart(Optimizer[S]):
    """Base class of optimizers that update some parameters by AdamW. Sets the betas of each step and handles ages."""

    def set_rates(
        self, optimizer: torch.optim.Optimizer, factors: Factors, memory: float, worth: Callable[[int], float]
    ) -> None:
        super().set_rates(optimizer, factors, memory, worth)
        betas = (self.settings.beta1, self.settings.decays(memory)["beta2"])
        for group in optimizer.param_groups:
            group["betas"] = betas
        if isinstance(optimizer, AgedAdamW) and self.varied:
            optimizer.memory = Memory(self.settings.beta2, worth)

    def needs_ages(self, memory: float) -> bool:
        return ages_matter(self.settings.beta1, self.settings.decays(memory)["beta2"])

    def load_state(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter, state: State) -> None:
        if isinstance(optimizer, AgedAdamW) and "step" in state and state["step"].dim():
            optimizer.adopt(weight, state)
        else:
            super().load_state(optimizer, weight, state)

    def state_of(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> State:
        return optimizer.state_of(weight) if isinstance(optimizer, AgedAdamW) else super().state_of(optimizer, weight)


class Adamw(AdamwPart[Declared]):
    """`AgedAdamW` if entries have individual ages or the memory varies, otherwise torch's AdamW."""

    declaration: ClassVar[type[Any]] = Declared

    def build(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        own = self.settings
        kind = AgedAdamW if aged or self.varied else EagerAdamW
        return kind(groups, own.lr, (own.beta1, own.beta2), own.eps, fused=True)
