"""The processes that train together; alone, a team of one."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from shapeflow.diagnostics import Diagnostic, Refused


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

    def share(self, act: Callable[[], None]) -> None:
        """Let the leader act while the others wait. Where it is refused, all are."""
        told: list[tuple[Diagnostic, ...] | None] = [None]
        if self.leads:
            try:
                act()
            except Refused as refused:
                told = [refused.diagnostics]
        if self.world > 1:
            dist.broadcast_object_list(told, src=0)
        if told[0] is not None:
            raise Refused(*told[0])
