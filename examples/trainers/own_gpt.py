"""A GPT of one's own follows a plan, and grows in width and depth while it trains.

    python examples/trainers/own_gpt.py FOLDER

`own_gpt.toml` is the table of its parameters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

import shapeflow
from shapeflow.torch import PlanSampler, Windows, grow, rehearse, table_adapter

PLAN = Path(__file__).with_suffix(".shape")
TEXT = b"".join(path.read_bytes() for path in sorted(Path(shapeflow.__file__).parent.glob("ir/*.py")))
TOKENS = np.frombuffer(TEXT, np.uint8)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        read: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))
        return read


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width, bias=False), "c_proj": nn.Linear(4 * width, width, bias=False)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        read: Tensor = x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))
        return read


class GPT(nn.Module):
    """Learned positions, fused queries, keys and values, and a head that is the embedding."""

    def __init__(self, width: int = 32, depth: int = 2, head: int = 16, positions: int = 64) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(256, width),
                "wpe": nn.Embedding(positions, width),
                "h": nn.ModuleList(Block(width, width // head) for _ in range(depth)),
                "ln_f": nn.LayerNorm(width, bias=False),
            }
        )
        self.lm_head = nn.Linear(width, 256, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.transformer["wte"](tokens) + self.transformer["wpe"](torch.arange(tokens.shape[1]))
        for block in self.transformer["h"]:
            x = block(x)
        logits: Tensor = self.lm_head(self.transformer["ln_f"](x))
        return logits


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plan = shapeflow.compile(PLAN)
    # What the module keeps of its sizes next to its tensors.
    heads = {"transformer.h.{depth}.attn": {"heads": lambda sizes: sizes["heads"] // sizes["head"]}}
    adapter = table_adapter(plan, attributes=heads, eps="eps")
    model = GPT()
    for effect in rehearse(model, plan, adapter, lambda net: net(torch.arange(64)[None])):
        print(f"rehearsed {' + '.join(effect.names)}: the logits change by {effect.changed:.0e} of their size")
    optimizer = torch.optim.AdamW(model.parameters())
    windows = Windows(TOKENS)
    batches = DataLoader(windows, batch_sampler=PlanSampler(plan, len(windows)))
    session = shapeflow.follow(plan, folder)
    for step, batch in zip(session, batches, strict=True):
        if step.switch is not None:
            grow(model, optimizer, plan, step.switch, adapter)
            print(f"step {step.index}: {sum(weight.numel() for weight in model.parameters()):,} parameters")
        for group in optimizer.param_groups:
            group["lr"] = step.lr
        loss = functional.cross_entropy(model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        session.log(step, loss)
    print(f"loss {loss.item():.3f} after {plan.steps} steps; look at it: shapeflow show {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
