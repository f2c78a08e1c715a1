"""What both models are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from shapeflow.ir.edits import SlotValue, noise

Sizes = Mapping[str, Mapping[str, int]]
"""Parameter name (depth in braces) -> dim -> stored size."""

Slots = Mapping[str, SlotValue]

FRESH = -1
"""Stands where an edit's noise has the number of its switch: numbers drawn for the first initialisation."""


class Net(nn.Module):
    """A model whose parameters may be read through views.

    `readings` and `slots` are set by the machine and say how the model is read at present; a forward pass asks `see`
    for every parameter named in `viewable`, and reads a slot that a transition swaps anew each time.
    """

    viewable: frozenset[str] = frozenset()
    takes_prefix: bool = False
    """Whether a forward pass takes, behind its inputs, how many first tokens see each other (`Asked.prefix`)."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: Mapping[str, Callable[[Tensor], Tensor]] = {}
        self.slots: Slots = {}
        self.blocks = nn.ModuleList()

    def see(self, name: str, stored: Tensor) -> Tensor:
        """A stored parameter as the present reading shows it."""
        reading = self.readings.get(name)
        return stored if reading is None else reading(stored)

    def tie(self) -> None:
        """Make tensors that are one parameter one tensor again, after they were moved."""

    def spread(self, name: str, tensor: Tensor) -> float:
        """Standard deviation of a matrix's first entries."""
        raise NotImplementedError

    def features(self, inputs: Tensor) -> Tensor:
        """What the head reads."""
        raise NotImplementedError


def heads_of(tensor: Tensor, head_width: int) -> Tensor:
    """(batch, tokens, heads * width) -> (batch, heads, tokens, width)."""
    batch, tokens, _ = tensor.shape
    return tensor.view(batch, tokens, -1, head_width).transpose(1, 2)


def together(tensor: Tensor) -> Tensor:
    """(batch, heads, tokens, width) -> (batch, tokens, heads * width)."""
    batch, heads, tokens, width = tensor.shape
    return tensor.transpose(1, 2).reshape(batch, tokens, heads * width)


@torch.no_grad()
def initialise(net: Net, seed: int, roles: Mapping[str, str]) -> None:
    """Give a model its first weights: matrices normal, norms 1, biases and shifts 0.

    `roles`: parameter name -> role. Every tensor's numbers depend on (seed, name) alone: not on torch, its generator,
    the device or the count of processes.
    """
    for name, tensor in net.named_parameters():
        role = roles[name]
        if role == "matrix":
            spread = net.spread(name, tensor)
            drawn = noise(seed, FRESH, name, "", 0, tensor.numel()) if spread else torch.zeros(tensor.numel()).numpy()
            tensor.copy_(torch.from_numpy(drawn * spread).reshape(tensor.shape))
        else:
            tensor.fill_(1.0 if role == "scale" else 0.0)


def linear_spread(name: str, tensor: Tensor, depth: int, outputs: tuple[str, ...]) -> float:
    """1 / sqrt(inputs); what writes on the residual is divided by sqrt(2 depth) (GPT-2's scheme)."""
    spread = 1 / math.sqrt(tensor[0].numel())
    return spread / math.sqrt(2 * depth) if name.endswith(outputs) else spread


def number(slots: Slots, name: str) -> float:
    """A number that a slot holds."""
    value = slots.get(name)
    if not isinstance(value, int | float):
        raise TypeError(f"the slot {name} holds {value!r}, not a number")
    return value
