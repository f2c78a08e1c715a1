"""The base class of the optimizers in this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import attrs
import torch
from torch import Tensor, nn

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.components import Optimizer as Declared
from shapeflow.ir.parameters import Growth, Parameter
from shapeflow.ir.rates import Factors, reads_width

State = dict[str, Tensor]
"""The state of a tensor by part. A `count` is float32, since bfloat16 cannot count beyond 256."""

D = TypeVar("D", bound=Declared)


@attrs.frozen(eq=False)
class Member:
    """A tensor that an optimizer updates."""

    weight: nn.Parameter
    declared: Parameter
    sizes: tuple[int, ...]
    """Sizes of the dims in `declared.logical`, where fused dims are separate."""


class Optimizer(ABC, Generic[D]):
    """Builds torch optimizers for a declared optimizer, sets their rates before each step, and reads their state.

    There is one instance per run. It holds no state: the state is in the torch optimizer, which is built again at each
    switch that changes tensors. Updates may depend only on the gradients and the state. Gradients are averaged over the
    processes before the update, and each process holds all weights.
    """

    declaration: ClassVar[type[Any]]
    """The component of `shapeflow/optimizers/` of the same name."""

    def __init__(self, settings: D, apart: Collection[str] = (), varied: bool = False) -> None:
        """`apart`: dims along which slices are separate tensors, as in a plan; `varied`: whether any step of the run
        has a `memory` other than 1."""
        self.settings, self.apart, self.varied = settings, frozenset(apart), varied

    @abstractmethod
    def build(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        """Return a torch optimizer over parameter groups. `aged`: whether a `count` has one number per entry."""

    def options(self, member: Member) -> dict[str, Any]:
        """Return the options of a tensor's parameter group. `set_rates` reads `wide`."""
        decays = member.declared.role == "matrix"
        return {"weight_decay": self.settings.weight_decay if decays else 0.0, "wide": reads_width(member.declared)}

    def set_rates(
        self, optimizer: torch.optim.Optimizer, factors: Factors, memory: float, worth: Callable[[int], float]
    ) -> None:
        """Set the options that vary between steps. `factors`: factors of the step's learning rate;
        `memory`: number of steps at the data's own batch size that this step counts as; `worth`: maps N to the sum of
        `memory` over the last N steps."""
        for group in optimizer.param_groups:
            group["lr"] = factors.matrix_rate if group["wide"] else factors.rate

    def needs_ages(self, memory: float) -> bool:
        """Return whether entries created at a switch need their own `count` under `moments: fresh`.

        `memory`: the smallest `memory` of any step after the switch, at which the decays are slowest."""
        return False

    def load_state(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter, state: State) -> None:
        """Set the state of a tensor."""
        optimizer.state[weight] = dict(state)

    def state_of(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> State:
        """Return the state of a tensor, by declared part; not copied."""
        return dict(optimizer.state[weight])

    def initial_state(self, declared: Parameter, like: Tensor) -> State:
        """Return the state of a tensor before its first update."""
        return {part: _zeros(rule, like) for part, rule in self.settings.state(declared).items()}

    def build_with_state(self, members: Mapping[str, Member], states: dict[str, State]) -> torch.optim.Optimizer:
        """Return a torch optimizer over named tensors, with their state. Empties `states`, so that no tensor is held
        twice.

        Raises ValueError if the sizes of a state differ from its tensor's. `load_state_dict` is not used because it
        matches tensors by position and accepts other sizes.
        """
        aged = False
        for name, state in states.items():
            shape, rules = members[name].weight.shape, self.settings.state(members[name].declared)
            for part, tensor in state.items():
                if tensor.shape != shape and (rules[part] != "count" or tensor.dim()):
                    raise ValueError(f"`{part}` of {name} has sizes {tuple(tensor.shape)}, not {tuple(shape)}")
                aged = aged or (rules[part] == "count" and tensor.dim() > 0)
        groups: dict[tuple[tuple[str, Any], ...], list[nn.Parameter]] = {}
        for member in members.values():
            groups.setdefault(tuple(self.options(member).items()), []).append(member.weight)
        optimizer = self.build([{"params": own, **dict(options)} for options, own in groups.items()], aged)
        while states:
            name, state = states.popitem()
            self.load_state(optimizer, members[name].weight, state)
        return optimizer

    def check_state(self, optimizer: torch.optim.Optimizer, members: Mapping[str, Member]) -> None:
        """Raise Refused `undeclared-state` if the state after an update differs from what the component declares."""
        for name, state in self.states(optimizer, members).items():
            member = members[name]
            rules = self.settings.state(member.declared)
            if state.keys() != rules.keys():
                raise Refused(_wrong_state(type(self).__name__, f"the parts {_names(state)}", _names(rules)))
            for part, tensor in state.items():
                if not isinstance(tensor, Tensor) or (rules[part] != "count" and tensor.shape != member.weight.shape):
                    sizes = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                    has = f"`{part}` as {sizes}"
                    raise Refused(_wrong_state(type(self).__name__, has, f"a tensor of {tuple(member.weight.shape)}"))

    def states(self, optimizer: torch.optim.Optimizer, members: Mapping[str, Member]) -> dict[str, State]:
        """Return the state of every tensor that was updated at least once, by name; not copied."""
        updated = {name: member.weight for name, member in members.items() if optimizer.state.get(member.weight)}
        return {name: self.state_of(optimizer, weight) for name, weight in updated.items()}


def _names(parts: Iterable[str]) -> str:
    return ", ".join(f"`{part}`" for part in sorted(parts)) or "nothing"


def _wrong_state(name: str, has: str, declared: str) -> Diagnostic:
    message = f"the torch optimizer `{name}` keeps {has} for a tensor; its component declares {declared}"
    help_ = "make `state` of the component and the torch optimizer agree"
    return Diagnostic("undeclared-state", message, place="plan", help=help_)


def _zeros(rule: Growth, like: Tensor) -> Tensor:
    if rule == "count":
        return torch.zeros((), dtype=torch.float32, device=like.device)
    return torch.zeros_like(like, memory_format=torch.preserve_format)
