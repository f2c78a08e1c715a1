"""A Llama-style language model: RMSNorm, rotary positions, SwiGLU, grouped queries (Touvron et al. 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shapeflow_torch.models.masks import added, with_prefix, within_documents
from shapeflow_torch.models.parts import Net, Sizes, Slots, heads_of, linear_spread, number, together
from shapeflow_torch.models.rotary import Rope, Rotary, turn

_OUTPUTS = ("attn.o.weight", "mlp.down.weight")


class Attention(nn.Module):
    """Causal or masked attention. Each group of query heads shares one key and value head."""

    def __init__(self, residual: int, heads: int, kv_heads: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.group = heads // kv_heads
        self.q = nn.Linear(residual, heads, bias=False)
        self.k = nn.Linear(residual, kv_heads, bias=False)
        self.v = nn.Linear(residual, kv_heads, bias=False)
        self.o = nn.Linear(heads, residual, bias=False)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None) -> Tensor:
        q = turn(heads_of(self.q(x), self.head_width), table)
        k = turn(heads_of(self.k(x), self.head_width), table)
        v = heads_of(self.v(x), self.head_width)
        attend = functional.scaled_dot_product_attention
        if mask is None:
            read = attend(q, k, v, is_causal=True, enable_gqa=self.group > 1)
        else:
            # On CUDA, only the slow kernel supports both a mask and shared heads, so repeat the heads.
            k, v = k.repeat_interleave(self.group, 1), v.repeat_interleave(self.group, 1)
            read = attend(q, k, v, attn_mask=mask)
        out: Tensor = self.o(together(read))
        return out


class Mlp(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, residual: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(residual, hidden, bias=False)
        self.up = nn.Linear(residual, hidden, bias=False)
        self.down = nn.Linear(hidden, residual, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):
    """One pre-norm layer on the residual stream (batch, tokens, residual)."""

    def __init__(self, residual: int, heads: int, kv_heads: int, hidden: int, head_width: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(residual, eps=eps)
        self.attn = Attention(residual, heads, kv_heads, head_width)
        self.norm2 = nn.RMSNorm(residual, eps=eps)
        self.mlp = Mlp(residual, hidden)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.norm1(x), table, mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Transformer(Net):
    """Maps tokens (batch, context) to logits (batch, context, vocabulary), at any context length."""

    takes_prefix = True
    splits = True

    def __init__(self, sizes: Sizes, slots: Slots) -> None:
        super().__init__()
        self.slots = slots
        embed, q = sizes["embed.weight"], sizes["blocks.{depth}.attn.q.weight"]
        kv_heads = sizes["blocks.{depth}.attn.k.weight"]["kv_heads"]
        hidden = sizes["blocks.{depth}.mlp.gate.weight"]["hidden"]
        residual, eps = embed["residual"], float(number(slots, "norm.eps"))
        head_width = int(number(slots, "head_width"))
        self.depth = q["depth"]
        self.rotary = Rotary(head_width)
        self.embed = nn.Embedding(embed["vocabulary"], residual)
        self.blocks = nn.ModuleList(
            Block(residual, q["heads"], kv_heads, hidden, head_width, eps) for _ in range(self.depth)
        )
        self.norm = nn.RMSNorm(residual, eps=eps)
        self.head = nn.Linear(residual, embed["vocabulary"], bias=False)
        self.tied = "head.weight" not in sizes
        self.tie()

    def tie(self) -> None:
        if self.tied:
            self.head.weight = self.embed.weight

    def features(self, inputs: Tensor, prefix: int | None = None) -> Tensor:
        x = self.embed(inputs)
        table = self.rotary.table(inputs.shape[1], Rope.of(self.slots), inputs.device)
        mask = self.mask(inputs, prefix)
        mask = mask if mask is None else added(mask, x.dtype)
        for block in self.blocks:
            x = self.through(block, x, table, mask)
        out: Tensor = self.norm(x)
        return out

    def forward(self, inputs: Tensor, prefix: int | None = None) -> Tensor:
        """Return logits. `prefix`: see `Asked`."""
        logits: Tensor = self.head(self.features(inputs, prefix))
        return logits

    def mask(self, inputs: Tensor, prefix: int | None) -> Tensor | None:
        """Return the attention mask, or None for plain causal attention."""
        separator = self.slots.get("attend.separator")
        if prefix is None and isinstance(separator, int):
            return within_documents(inputs, separator)
        return with_prefix(inputs.shape[1], prefix, inputs.device) if prefix else None

    def spread(self, name: str, tensor: Tensor) -> float:
        return 0.05 if name == "embed.weight" else linear_spread(name, tensor, self.depth, _OUTPUTS)
