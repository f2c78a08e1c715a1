"""The state of a user's optimizers: what each part is, and whether it has an age for each entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.parameters import Growth, Parameter
from shapeflow_torch.optimizers import Optimizer, State
from shapeflow_torch.optimizers.aged import AgedAdamW, ages_matter

_ADAM: Mapping[str, Growth] = {
    "step": "count",
    "exp_avg": "gradient",
    "exp_avg_sq": "squared",
    "max_exp_avg_sq": "squared",
}
KINDS: Mapping[str, Mapping[str, Growth]] = {
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "SGD": {"momentum_buffer": "gradient"},
    "Lion": {"exp_avg": "gradient"},
    "Muon": {"momentum_buffer": "gradient"},
}
"""Name of an optimizer's class, or of one that it inherits -> part of its state -> how it follows an edit. The law is
the same for all of them: a momentum is linear in gradients, a second moment in squared gradients."""


def rules_of(optimizer: TorchOptimizer) -> Mapping[str, Growth]:
    """Return the parts of an optimizer's state. Raises Refused `unfit-optimizer` for a class that is not known."""
    for kind in type(optimizer).__mro__:
        if kind.__name__ in KINDS:
            return KINDS[kind.__name__]
    message = f"it is not known how the state of `{type(optimizer).__name__}` follows a switch"
    raise Refused(_unfit(message))


@attrs.frozen(eq=False)
class Owner:
    """The optimizer and the group that update a tensor, or all tensors of one layout."""

    optimizer: TorchOptimizer
    group: dict[str, Any]

    @property
    def aged(self) -> bool:
        """Whether new entries need ages of their own, and the optimizer can have them."""
        own = self.optimizer
        plain = type(own) is torch.optim.AdamW or isinstance(own, AgedAdamW)
        modes = ("amsgrad", "maximize", "capturable", "differentiable")
        able = plain and not any(self.group.get(mode) for mode in modes)
        return able and not isinstance(self.group["lr"], Tensor) and ages_matter(*self.group["betas"])


def owners_of(optimizers: Iterable[TorchOptimizer]) -> dict[int, Owner]:
    """Return the owner of each tensor, by the tensor's id."""
    return {id(p): Owner(own, group) for own in optimizers for group in own.param_groups for p in group["params"]}


def state_of(owner: Owner, weight: nn.Parameter) -> State:
    """Return the state of a tensor, empty before its first update.

    Raises Refused `unfit-optimizer` for a part that is not known, or of other sizes than the tensor."""
    own, rules = owner.optimizer, rules_of(owner.optimizer)
    if not own.state.get(weight):
        return {}
    found = own.state_of(weight) if isinstance(own, AgedAdamW) else dict(own.state[weight])
    state = {}
    for part, value in found.items():
        if value is None:
            continue
        tensor = value if isinstance(value, Tensor) else torch.tensor(float(value)) if part == "step" else None
        count = rules.get(part) == "count"
        if part not in rules or tensor is None or (tensor.shape != weight.shape and not (count and not tensor.dim())):
            name = type(own).__name__
            raise Refused(_unfit(f"the state of `{name}` has the part `{part}`, and it is not known how it follows"))
        state[part] = tensor
    return state


def with_ages(optimizer: TorchOptimizer) -> AgedAdamW:
    """Make torch's AdamW ours, in place: groups, state, and what schedulers and trainers refer to stay the same."""
    if not isinstance(optimizer, AgedAdamW):
        optimizer.__class__ = AgedAdamW
        # A scheduler has put the step of the old class there, to count calls.
        vars(optimizer).pop("step", None)
        assert isinstance(optimizer, AgedAdamW)
        optimizer.track()
    return optimizer


class Followed(Optimizer[Any]):
    """What surgery asks of an optimizer, for the state of a user's own."""

    def __init__(self, rules: Mapping[str, Mapping[str, Growth]], ages: bool) -> None:
        """`rules`: parameter of the plan -> parts of its state; `ages`: whether new entries have ages of their own."""
        super().__init__(_Rules(rules))
        self._ages = ages

    def build(self, groups: list[dict[str, Any]], aged: bool) -> TorchOptimizer:
        raise NotImplementedError("the optimizer is the user's")

    def needs_ages(self, memory: float) -> bool:
        return self._ages


@attrs.frozen
class _Rules:
    """The declaration of `Followed`: only `state` is asked of it."""

    rules: Mapping[str, Mapping[str, Growth]]

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        return self.rules.get(parameter.name, {})


def _unfit(message: str) -> Diagnostic:
    help_ = f"use one of {', '.join(KINDS)}, or give `grow` no optimizer and make it again after the switch"
    return Diagnostic("unfit-optimizer", message, place="optimizer", help=help_)
