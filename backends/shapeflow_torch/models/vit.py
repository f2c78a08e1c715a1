"""A vision transformer (Dosovitskiy et al. 2021), pre-norm, with a patch embedding of any patch size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapeflow_torch.models.parts import Net, Sizes, Slots, heads_of, linear_spread, number, together

_OUTPUTS = ("attn.o.weight", "mlp.fc2.weight")


class Patch(nn.Module):
    """The stored kernel (residual, channel, patch, patch) and its bias; `Vit` reads the kernel through a view."""

    def __init__(self, residual: int, channel: int, patch: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(residual, channel, patch, patch))
        self.bias = nn.Parameter(torch.empty(residual))

    def forward(self, images: Tensor, kernel: Tensor) -> Tensor:
        """Map images (batch, channel, side, side) to patch embeddings (batch, tokens, residual).

        For large patches, reshape and a matrix product are much faster than a strided convolution."""
        batch, channel, side, _ = images.shape
        patch = kernel.shape[-1]
        grid = side // patch
        cut = images.view(batch, channel, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5)
        return functional.linear(cut.reshape(batch, grid * grid, channel * patch * patch), kernel.flatten(1), self.bias)


class Attention(nn.Module):
    """Attention over all patches."""

    def __init__(self, residual: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.q = nn.Linear(residual, heads)
        self.k = nn.Linear(residual, heads)
        self.v = nn.Linear(residual, heads)
        self.o = nn.Linear(heads, residual)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads_of(made(x), self.head_width) for made in (self.q, self.k, self.v))
        out: Tensor = self.o(together(functional.scaled_dot_product_attention(q, k, v)))
        return out


class Mlp(nn.Module):
    def __init__(self, residual: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(residual, hidden)
        self.fc2 = nn.Linear(hidden, residual)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """One pre-norm layer on the residual stream (batch, tokens, residual)."""

    def __init__(self, residual: int, heads: int, hidden: int, head_width: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(residual, eps=eps)
        self.attn = Attention(residual, heads, head_width)
        self.norm2 = nn.LayerNorm(residual, eps=eps)
        self.mlp = Mlp(residual, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Vit(Net):
    """Maps images (batch, channel, side, side) to logits (batch, classes), at the current patch size and grid.

    The tokens are the class token, the registers and the patches. The head reads the class token, or the mean of the
    patches if there is no class token."""

    viewable = frozenset({"patch.weight", "pos"})

    def __init__(self, sizes: Sizes, slots: Slots) -> None:
        super().__init__()
        kernel, pos = sizes["patch.weight"], sizes["pos"]
        q, hidden = sizes["blocks.{depth}.attn.q.weight"], sizes["blocks.{depth}.mlp.fc1.weight"]["hidden"]
        residual, eps = kernel["residual"], float(number(slots, "norm.eps"))
        head_width = int(number(slots, "head_width"))
        self.depth = q["depth"]
        self.patch = Patch(residual, kernel["channel"], kernel["patch"])
        self.pos = nn.Parameter(torch.empty(1, pos["grid"] ** 2, residual))
        self.cls = nn.Parameter(torch.empty(1, residual)) if "cls" in sizes else None
        registers = sizes.get("registers", {}).get("register", 0)
        self.registers = nn.Parameter(torch.empty(registers, residual)) if registers else None
        self.blocks = nn.ModuleList(Block(residual, q["heads"], hidden, head_width, eps) for _ in range(self.depth))
        self.norm = nn.LayerNorm(residual, eps=eps)
        self.head = nn.Linear(residual, sizes["head.weight"]["classes"])

    def features(self, inputs: Tensor) -> Tensor:
        x = self.patch(inputs, self.see("patch.weight", self.patch.weight)) + self.see("pos", self.pos)
        prefix = [tokens for tokens in (self.cls, self.registers) if tokens is not None]
        patches = x.shape[1]
        if prefix:
            x = torch.cat([*(tokens.expand(len(x), -1, -1) for tokens in prefix), x], 1)
        for block in self.blocks:
            x = self.through(block, x)
        out: Tensor = self.norm(x[:, -patches:]).mean(1) if self.cls is None else self.norm(x[:, 0])
        return out

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def spread(self, name: str, tensor: Tensor) -> float:
        if name == "head.weight":
            return 0.0
        return 0.1 if name in ("pos", "cls", "registers") else linear_spread(name, tensor, self.depth, _OUTPUTS)
