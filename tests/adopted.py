"""A tiny Llama and a plan that moves everything, which trainers carry out, and the plain loop that they are compared
with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import torch
from plans import toy_text_plan
from torch.utils.data import DataLoader

import shapeflow
from shapeflow.ir.replay import first_ledger
from shapeflow.optimizers.adamw import Adamw
from shapeflow.torch import HF_LLAMA, PlanSampler, Windows, grow
from shapeflow_torch.adopt.cells import sizes_of

transformers = peers.hugging_face()

MODEL = {"kv_ratio": 2, "tied": False}
PLAN = toy_text_plan(
    (
        ({"batch": 64, "context": 16, "width": 16, "depth": 1}, 12),
        ({"batch": 128, "context": 16, "width": 16, "depth": 1}, 6),
        ({"batch": 128, "context": 32, "width": 32, "depth": 1}, 12),
        ({"batch": 128, "context": 32, "width": 32, "depth": 2}, 10),
    ),
    preview=0.0,
    model=MODEL,
    optimizer=Adamw(lr=3e-3, warmup=4, beta2=0.999, weight_decay=0.01),
    evaluate=20,
    cooldown=8,
)
"""Batch, context, width, depth and rate; switches before steps 12, 18 and 30."""
TEXT = np.random.default_rng(0).integers(0, 40, 3_000).cumsum() % 256
TOKENS, HELD_OUT = TEXT[:2_500], TEXT[2_500:]
CLIP = 1.0


def model(kind: str = "Llama", **settings: Any) -> Any:
    """A language model of `transformers` in the sizes of the first stage; `settings`: of its config."""
    torch.manual_seed(1)
    sizes = sizes_of(first_ledger(PLAN))
    stated: dict[str, Any] = {
        "vocab_size": 256,
        "hidden_size": 16,
        "intermediate_size": sizes["hidden"],
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "rms_norm_eps": PLAN.slots["norm.eps"],
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": PLAN.slots["rope.base"]},
    }
    config = getattr(transformers, f"{kind}Config")(**{**stated, **settings})
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def llama() -> Any:
    """Hugging Face's Llama in the sizes of the first stage."""
    return model()


def mistral() -> Any:
    """Hugging Face's Mistral without a sliding window, in the sizes of the first stage."""
    return model("Mistral", sliding_window=None)


def optimizer_of(net: Any) -> torch.optim.AdamW:
    """AdamW in the two groups of Hugging Face's `Trainer`."""
    named = list(net.named_parameters())
    groups = [
        {"params": [p for _, p in named if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for _, p in named if p.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, 3e-3, (0.9, 0.999), 1e-8)


@functools.cache
def plain_loop(rates: str = "plan", make: Callable[[], Any] = llama) -> tuple[float, ...]:
    """Losses of the plan in a loop of its own."""
    net, windows = make().train(), Windows(TOKENS, labels="same")
    optimizer = optimizer_of(net)
    losses = []
    batches = DataLoader(windows, batch_sampler=PlanSampler(PLAN, len(windows)))
    for step, batch in zip(shapeflow.follow(PLAN), batches, strict=True):
        if step.switch is not None:
            grow(net, optimizer, PLAN, step.switch, HF_LLAMA)
        loss = net(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = step.lr if rates == "plan" else 2e-3 * step.rates.shape * step.rates.rewarm
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return tuple(losses)
