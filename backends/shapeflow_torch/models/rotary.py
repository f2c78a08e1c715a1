"""Rotary position embeddings: rotation rates of channel pairs, and tables of cosines and sines."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from shapeflow_torch.models.parts import Slots, number

FAST, SLOW = 32, 1
"""YaRN's beta: channels that turn more than FAST times in the trained context do not change; those that turn less than
SLOW times are interpolated (Peng et al., arXiv 2309.00071, section 3.2)."""


@attrs.frozen
class Rope:
    """The values of the slots `rope.*`.

    `rule`: how rotation rates change if the context is extended; `factor`: ratio of the extended context to the trained
    one; `trained`: tokens of the trained context, used by `yarn`."""

    base: float
    rule: str = "keep"
    factor: float = 1.0
    trained: float = 0.0

    @classmethod
    def of(cls, slots: Slots) -> Rope:
        """Return the rotary settings in a model's slots. Default: the rule `keep`."""
        base, rule = number(slots, "rope.base"), slots.get("rope.rule", "keep")
        if rule == "keep":
            return cls(base)
        trained = number(slots, "rope.trained") if rule == "yarn" else 0.0
        return cls(base, str(rule), number(slots, "rope.factor"), trained)


def rates(width: int, rope: Rope) -> tuple[Tensor, float]:
    """Return the radians per token of each channel pair, float64 (width / 2), and a factor for cosines and sines.

    `linear` divides all rates by `factor` (arXiv 2306.15595). `ntk` multiplies the base by
    factor^(width / (width - 2)), so that the slowest pair turns `factor` times slower and the fastest pair does not
    change. `yarn` divides only the rates of slow pairs, and sharpens attention (arXiv 2309.00071, eq. 17 to 22)."""
    # Compute on the CPU even if modules are created on torch's meta device.
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device="cpu") / width
    if rope.factor == 1 or rope.rule == "keep":
        return rope.base**-exponents, 1.0
    if rope.rule == "linear":
        return rope.base**-exponents / rope.factor, 1.0
    if rope.rule == "ntk":
        return (rope.base * rope.factor ** (width / (width - 2))) ** -exponents, 1.0
    if rope.rule == "yarn":
        kept = _kept(width, rope)
        return rope.base**-exponents * (kept + (1 - kept) / rope.factor), 0.1 * math.log(rope.factor) + 1
    raise ValueError(f"the slot rope.rule holds {rope.rule!r}, which is no rule")


def _kept(width: int, rope: Rope) -> Tensor:
    """Return the share of each pair's original rate that YaRN keeps: 1 for fast pairs, 0 for slow ones."""

    def pair(turns: float) -> float:
        """Return the index of the pair, as a real number, that makes `turns` turns in the trained context."""
        return width * math.log(rope.trained / (turns * 2 * math.pi)) / (2 * math.log(rope.base))

    low, high = max(math.floor(pair(FAST)), 0), min(math.ceil(pair(SLOW)), width - 1)
    pairs = torch.arange(width // 2, dtype=torch.float64, device="cpu")
    return 1 - ((pairs - low) / max(high - low, 1e-3)).clamp(0, 1)


class Rotary:
    """Cached cosines and sines of the rotary angles (Su et al., arXiv 2104.09864), float32, one table for each context
    and rule.

    A slice of a longer table would have other strides and cause compiled blocks to be compiled again. For the same
    rule, the table of a longer context begins with exactly the values of a shorter one."""

    def __init__(self, head_width: int) -> None:
        self._width = head_width
        self._tables: dict[tuple[int, Rope], Tensor] = {}

    def table(self, tokens: int, rope: Rope, device: torch.device) -> Tensor:
        """Return cosines and sines as a tensor (2, tokens, head_width / 2)."""
        found = self._tables.get((tokens, rope))
        if found is None or found.device != device:
            per_token, sharpened = rates(self._width, rope)
            angles = torch.outer(torch.arange(tokens, dtype=torch.float64, device="cpu"), per_token)
            found = (torch.stack((angles.cos(), angles.sin())) * sharpened).float().to(device)
            self._tables[tokens, rope] = found
        return found


def turn(tensor: Tensor, table: Tensor) -> Tensor:
    """Rotate the pairs (i, i + width/2) of every head of a tensor (batch, heads, tokens, width)."""
    first, second = tensor.chunk(2, -1)
    # Compute in float32 even for bfloat16 heads, because the angles of late tokens need the precision.
    cos, sin = table.unbind()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(tensor.dtype)
