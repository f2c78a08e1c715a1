"""The processes that train together; alone, a team of one."""

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
    """This process's place among those that share the work; all of them call the same methods in the same order."""

    rank: int = 0
    world: int = 1
    device: torch.device = attrs.field(factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """The one process that writes and speaks."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(numbers)
        return numbers

    def share(self, act: Callable[[], _T]) -> _T:
        """Let the leader act while the others wait; all get what it returns. Where it is refused, all are."""
        if self.world == 1:
            return act()
        told: list[_T | tuple[Diagnostic, ...] | None] = [None, None]
        if self.leads:
            try:
                told[0] = act()
            except Refused as refused:
                told[1] = refused.diagnostics
        dist.broadcast_object_list(told, src=0, device=self.device)
        if isinstance(told[1], tuple):
            raise Refused(*told[1])
        return told[0]  # type: ignore[return-value]  # what the leader's act returned
