"""What the torch machine asks of an optimizer: the base class of the files in this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import attrs
import torch
from torch import Tensor, nn

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
    """Of `declared.logical`, fused dims apart."""


class Optimizer(ABC, Generic[D]):
    """How an optimizer is built over tensors by name, told its rates, and read back.

    It is made once a run and holds no state; a torch optimizer does, and lives between two switches. Updates must
    depend on the gradients and the state alone, since gradients are averaged over processes before, and weights are
    whole on each of them.
    """

    declaration: ClassVar[type[Any]]
    """The component of `shapeflow/optimizers/` of the same name."""

    def __init__(self, settings: D, apart: Collection[str] = (), varied: bool = False) -> None:
        """`apart`: dims along which slices are tensors of their own, as in a plan; `varied`: whether the steps of the
        run ever count as more or less than one in `decays`."""
        self.settings, self.apart, self.varied = settings, frozenset(apart), varied

    @abstractmethod
    def made(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        """A torch optimizer of parameter groups. `aged`: whether a part that counts has a number for each entry."""

    def options(self, member: Member) -> dict[str, Any]:
        """Options of the group that a tensor is in. `wide` is read by `tell`."""
        decays = member.declared.role == "matrix"
        return {"weight_decay": self.settings.weight_decay if decays else 0.0, "wide": reads_width(member.declared)}

    def tell(
        self, optimizer: torch.optim.Optimizer, factors: Factors, memory: float, worth: Callable[[int], float]
    ) -> None:
        """Set what varies from step to step. `factors`: of the step's learning rate; `memory`: what the step counts as;
        `worth`: what the last N steps count as."""
        for group in optimizer.param_groups:
            group["lr"] = factors.matrix_rate if group["wide"] else factors.rate

    def ages_matter(self, memory: float) -> bool:
        """Whether entries made at a switch need a `count` of their own under `moments: fresh`. `memory`: the least that
        a step behind the switch counts as, at which decays are the slowest."""
        return False

    def put(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter, state: State) -> None:
        """Give an optimizer the state of a tensor."""
        optimizer.state[weight] = dict(state)

    def taken(self, optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> State:
        """The state of a tensor, in parts as declared; not copied."""
        return dict(optimizer.state[weight])

    def empty(self, declared: Parameter, like: Tensor) -> State:
        """The state of a tensor that was never updated."""
        return {part: _zeros(rule, like) for part, rule in self.settings.state(declared).items()}

    def built(self, members: Mapping[str, Member], states: dict[str, State]) -> torch.optim.Optimizer:
        """An optimizer over named tensors with state written by name. `states` is emptied, so that nothing is held
        twice. Never through `load_state_dict`, which goes by position and takes state of other sizes without a word.

        Raises ValueError for state of other sizes than its tensor.
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
        optimizer = self.made([{"params": own, **dict(options)} for options, own in groups.items()], aged)
        while states:
            name, state = states.popitem()
            self.put(optimizer, members[name].weight, state)
        return optimizer

    def states(self, optimizer: torch.optim.Optimizer, members: Mapping[str, Member]) -> dict[str, State]:
        """The state of every tensor that was ever updated, by name; not copied."""
        updated = {name: member.weight for name, member in members.items() if optimizer.state.get(member.weight)}
        return {name: self.taken(optimizer, weight) for name, weight in updated.items()}


def _zeros(rule: Growth, like: Tensor) -> Tensor:
    if rule == "count":
        return torch.zeros((), dtype=torch.float32, device=like.device)
    return torch.zeros_like(like, memory_format=torch.preserve_format)
