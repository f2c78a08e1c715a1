"""Checks whether gradients reach the new entries of a switch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import torch
from torch import Tensor, nn

from shapeflow_torch.entries import Mask


@attrs.frozen
class Reach:
    """How many new entries receive a gradient. `new`: number of new entries; `share`: fraction of them that received a
    gradient, None if there are no new entries; `dead`: parameters with gradients on old entries only."""

    new: int
    share: float | None
    dead: tuple[str, ...]


@contextlib.contextmanager
def gradients(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the largest absolute gradient of each entry of each parameter in this context."""
    largest: dict[str, Tensor] = {}
    hooks = []
    for name, parameter in net.named_parameters():
        largest[name] = torch.zeros_like(parameter)
        hooks.append(parameter.register_hook(_keeper(largest[name])))  # type: ignore[no-untyped-call]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(largest: Tensor) -> Callable[[Tensor], None]:
    def keep(gradient: Tensor) -> None:
        torch.maximum(largest, gradient.abs(), out=largest)

    return keep


def reach(masks: Mapping[str, Sequence[Mask]], largest: Mapping[str, Sequence[Tensor]], least: float) -> Reach:
    """Return how many new entries received a gradient. A parameter without any gradient, such as a key's bias, is not
    counted.

    `masks`: parameter -> masks of the new entries of its tensors; `largest`: parameter -> largest gradients of its
    tensors; `least`: smaller gradients count as rounding errors."""
    new, reached, dead = 0, 0, []
    for name, family in masks.items():
        made = [torch.from_numpy(mask) for mask in family]
        hits = [found > least for found in largest[name]]
        count = sum(int(mask.sum()) for mask in made)
        fresh = sum(int((hit & mask).sum()) for hit, mask in zip(hits, made, strict=True))
        if any(bool(hit.any()) for hit in hits):
            new, reached = new + count, reached + fresh
            if count and not fresh:
                dead.append(name)
    return Reach(new, reached / new if new else None, tuple(dead))
