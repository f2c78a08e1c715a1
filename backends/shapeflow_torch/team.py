"""The processes of a run. A single process is a team of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused

_T = TypeVar("_T")


@attrs.frozen
class Team:
    """This process's rank among the processes of a run. All processes must call the same methods in the same order."""

    rank: int = 0
    world: int = 1
    device: torch.device = attrs.field(factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this is the leader, the one process that writes files and prints."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place, and return it."""
        if self.world > 1:
            dist.all_reduce(numbers)
        return numbers

    def least(self, number: int) -> int:
        """Return the smallest number of all processes."""
        if self.world == 1:
            return number
        found = torch.tensor(number, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MIN)
        return int(found)

    def share(self, act: Callable[[], _T]) -> _T:
        """Call `act` in the leader only, and return its result in all processes. If it raises Refused, all raise it."""
        if self.world == 1:
            return act()
        shared: list[_T | tuple[Diagnostic, ...] | None] = [None, None]
        if self.leads:
            try:
                shared[0] = act()
            except Refused as refused:
                shared[1] = refused.diagnostics
        dist.broadcast_object_list(shared, src=0, device=self.device)
        if isinstance(shared[1], tuple):
            raise Refused(*shared[1])
        return shared[0]  # type: ignore[return-value]  # what the leader's act returned
