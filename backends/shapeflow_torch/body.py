"""A module with its optimizer and its averaged weights: the state of a machine between two switches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from shapeflow.ir.ledger import Ledger
from shapeflow.ir.rates import Factors, horizon
from shapeflow_torch.compilation import compile_blocks
from shapeflow_torch.models import Net, build, initialise
from shapeflow_torch.optimizers import Member, Optimizer
from shapeflow_torch.surgery import Kept
from shapeflow_torch.team import Team


@contextlib.contextmanager
def _exchanged(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    own = {name: parameter.data for name, parameter in parameters.items()}
    try:
        for name, parameter in parameters.items():
            parameter.data = values[name]
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data = own[name]


class _Work(nn.Module):
    """Calls a function with a module. All that a step computes thus happens in one forward pass of torch's wrapper,
    which averages gradients over processes."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, work: Callable[[Net], Tensor]) -> Tensor:
        return work(self.net)


class Body:
    """A module, its optimizer and its averaged weights.

    A body is never resized in place, because sizes, head counts and tied references are attributes of the module. A
    switch builds a new body from the tensors of the old one."""

    def __init__(
        self,
        kind: str,
        ledger: Ledger,
        rules: Optimizer[Any],
        team: Team,
        dtype: torch.dtype,
        kept: Kept | int,
        compiled: bool = False,
    ) -> None:
        """`rules`: the plan's optimizer; `kept`: the tensors to use, or the seed of new weights.

        Raises Refused if the module's parameters differ from the ledger's.
        """
        self.rules = rules
        self._parameters: dict[str, nn.Parameter] = {}
        roles = {member: p.role for name, p in ledger.table.items() for member in ledger.members(name)}
        self.net = build(kind, ledger, team.device, dtype)
        self._parameters = dict(self.net.named_parameters())
        if isinstance(kept, int):
            initialise(self.net, kept, roles)
            kept = Kept({}, {name: p.detach().clone() for name, p in self._parameters.items()}, {})
        else:
            # Use the kept tensors without a copy, so that memory holds them once.
            for name, parameter in self._parameters.items():
                parameter.data = kept.values[name]
        self.averages = dict(kept.averages)
        self._members = _members(ledger, self._parameters)
        self.optimizer = rules.build_with_state(self._members, kept.states)
        self._checked = False
        if compiled:
            compile_blocks(self.net)
        work = _Work(self.net)
        self._shared = DistributedDataParallel(work) if team.world > 1 else None
        self.wrapped: nn.Module = work if self._shared is None else self._shared
        """Calls a function with the module, as a part of a step."""

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which gradients are added up in this process only. The next backward pass outside of it
        shares the sum with the other processes."""
        return contextlib.nullcontext() if self._shared is None else self._shared.no_sync()

    def gradient_norm(self) -> Tensor:
        """Return the norm of the gradients of all parameters."""
        return nn.utils.get_total_norm([p.grad for p in self._parameters.values() if p.grad is not None])

    def update(
        self, norm: Tensor, factors: Factors, average_age: int, memory: float, worth: Callable[[int], float]
    ) -> None:
        """Make one update from the gradients. `norm`: their `gradient_norm`; `factors`: factors of the step's learning
        rate; `average_age`: number of steps in the average; `memory`, `worth`: see `Optimizer.set_rates`.

        Raises Refused `undeclared-state` after the first update if the optimizer's state differs from its
        declaration."""
        settings = self.rules.settings
        parameters: list[Tensor] = list(self._parameters.values())
        nn.utils.clip_grads_with_norm_(parameters, settings.clip, norm)
        self.rules.set_rates(self.optimizer, factors, memory, worth)
        self.optimizer.step()
        if not self._checked:
            self.rules.check_state(self.optimizer, self._members)
            self._checked = True
        self.optimizer.zero_grad(set_to_none=True)
        seen = worth(average_age + 1) - memory
        weight = max(horizon(settings.average, memory), memory / (memory + 0.1 * seen))
        with torch.no_grad():
            torch._foreach_lerp_([self.averages[name] for name in self._parameters], parameters, weight)

    def kept(self) -> Kept:
        """Return the weights, averages and optimizer state without copying them."""
        values = {name: parameter.detach() for name, parameter in self._parameters.items()}
        return Kept(values, dict(self.averages), self.rules.states(self.optimizer, self._members))

    def whole(self) -> Kept:
        """Return the same as `kept`, with optimizer state for all parameters or for none. A parameter that was never
        updated gets its initial state."""
        kept = self.kept()
        if kept.states:
            for name, member in self._members.items():
                if name not in kept.states:
                    kept.states[name] = self.rules.initial_state(member.declared, member.weight)
        return kept

    def released(self) -> Kept:
        """Return the same as `kept` and drop all references here, so that surgery can free each tensor it replaces."""
        kept = self.kept()
        self.optimizer.state.clear()
        self.averages.clear()
        for parameter in self._parameters.values():
            parameter.data, parameter.grad = parameter.new_empty(0), None
        return kept

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the module computes with the averaged weights."""
        return _exchanged(self._parameters, self.averages)

    def restart_average(self) -> None:
        """Set the averaged weights to the current weights."""
        self.averages = {name: p.detach().clone() for name, p in self._parameters.items()}

    def forget_moments(self) -> None:
        """Discard the optimizer's state."""
        self.optimizer = self.rules.build_with_state(self._members, {})


def _members(ledger: Ledger, parameters: Mapping[str, nn.Parameter]) -> dict[str, Member]:
    """Return the tensors that the optimizer updates, by name, in the module's order."""
    members = {}
    for name, declared in ledger.table.items():
        sizes = tuple(ledger.sizes[name][dim] for dim in declared.logical)
        for member in ledger.members(name):
            members[member] = Member(parameters[member], declared, sizes)
    return {name: members[name] for name in parameters}
