"""torch's AdamW and SGD without torch's compiler.

torch wraps three methods of its optimizers so that `torch.compile` can handle them. The first call of a wrapper imports
the compiler: 800 modules, which take longer than a short run. Optimizers of this backend are never compiled, so these
classes call the methods themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

_ADD = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_ZERO = inspect.unwrap(torch.optim.Optimizer.zero_grad)
_ADAMW = inspect.unwrap(torch.optim.AdamW.step)
_SGD = inspect.unwrap(torch.optim.SGD.step)


class _Eager(torch.optim.Optimizer):
    """What the optimizers have in common."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters."""
        _ADD(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0."""
        _ZERO(self, set_to_none)


class EagerAdamW(_Eager, torch.optim.AdamW):
    """torch's AdamW, never compiled."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one update of every parameter that has a gradient. `closure`: computes the loss and the gradients.
        Returns its loss."""
        loss: float | None = _ADAMW(self, closure)
        return loss


class EagerSGD(_Eager, torch.optim.SGD):
    """torch's SGD, never compiled."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """The same as `EagerAdamW.step`."""
        loss: float | None = _SGD(self, closure)
        return loss
