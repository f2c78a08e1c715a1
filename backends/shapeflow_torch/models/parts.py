"""Base class and functions shared by all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from shapeflow.ir.edits import SlotValue
from shapeflow.ir.noise import FRESH, noise

Sizes = Mapping[str, Mapping[str, int]]
"""Parameter name (depth in braces) -> dim -> stored size."""

Slots = Mapping[str, SlotValue]


class Net(nn.Module):
    """A model whose parameters may be read through views.

    The machine sets `readings` and `slots`, which define the current reading of the model, and `seed`, that of the run,
    for parts that are drawn and not trained. A forward pass must call
    `see` for every parameter in `viewable`, must call its blocks by `through`, and must read slots that transitions can
    swap each time.
    """

    viewable: frozenset[str] = frozenset()
    takes_prefix: bool = False
    """Whether the forward pass takes `prefix` as a second argument (see `Asked.prefix`)."""
    splits: bool = False
    """Whether the forward pass is `head(features(...))`, token by token. Then the loss of many tokens is computed in
    parts, and never holds all logits."""
    head: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.readings: Mapping[str, Callable[[Tensor], Tensor]] = {}
        self.slots: Slots = {}
        self.seed = 0
        self.recompute = False
        """Whether the backward pass computes the blocks again instead of keeping what they computed."""
        self.blocks = nn.ModuleList()

    def see(self, name: str, stored: Tensor) -> Tensor:
        """Return a stored parameter as seen through its current views."""
        reading = self.readings.get(name)
        return stored if reading is None else reading(stored)

    def through(self, block: nn.Module, *inputs: Tensor | None) -> Tensor:
        """Return the output of a block."""
        if self.recompute and torch.is_grad_enabled():
            made: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return made
        out: Tensor = block(*inputs)
        return out

    def tie(self) -> None:
        """Restore tied parameters after the module was moved to a device."""

    def spread(self, name: str, tensor: Tensor) -> float:
        """Return the standard deviation of a matrix's initial entries. `name`: name of the parameter."""
        raise NotImplementedError

    def features(self, inputs: Tensor) -> Tensor:
        """Return the input of the head."""
        raise NotImplementedError


def heads_of(tensor: Tensor, head_width: int) -> Tensor:
    """Reshape (batch, tokens, heads * width) to (batch, heads, tokens, width)."""
    batch, tokens, _ = tensor.shape
    return tensor.view(batch, tokens, -1, head_width).transpose(1, 2)


def together(tensor: Tensor) -> Tensor:
    """Reshape (batch, heads, tokens, width) to (batch, tokens, heads * width)."""
    batch, heads, tokens, width = tensor.shape
    return tensor.transpose(1, 2).reshape(batch, tokens, heads * width)


@torch.no_grad()
def initialise(net: Net, seed: int, roles: Mapping[str, str]) -> None:
    """Initialize a model: matrices are normal, scales of norms are 1, biases and shifts are 0.

    `roles`: parameter name -> role. The values of each tensor depend on (seed, name) only, not on torch's version or
    generator, the device, or the number of processes.
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
    """Return 1 / sqrt(inputs), divided by sqrt(2 depth) for matrices that write to the residual stream (as in GPT-2).

    `outputs`: name suffixes of those matrices."""
    spread = 1 / math.sqrt(tensor[0].numel())
    return spread / math.sqrt(2 * depth) if name.endswith(outputs) else spread


def number(slots: Slots, name: str) -> float:
    """Return the number that a slot holds. Raises TypeError."""
    value = slots.get(name)
    if not isinstance(value, int | float):
        raise TypeError(f"the slot {name} holds {value!r}, not a number")
    return value
