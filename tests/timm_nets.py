"""timm's vision transformer with the weights of the torch machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import peers
import torch
from torch_tools import parameters

from shapeflow.foreign.cells import cells
from shapeflow.torch import TIMM_VIT
from shapeflow_torch.adopt.cells import joined, parameters_of, sizes_of
from shapeflow_torch.machine import TorchMachine


def timm_net(pool: str = "mean", registers: int = 0, norm_eps: float = 1e-6, **choices: Any) -> Any:
    """timm's module that computes what `vit` does. Its defaults are the stored sizes of `toy_image_plan`."""
    kind = peers.timm_module("timm.models.vision_transformer").VisionTransformer
    chosen: dict[str, Any] = {
        "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 32, "depth": 2, "num_heads": 4,
        "fc_norm": False, "no_embed_class": True, "norm_layer": partial(torch.nn.LayerNorm, eps=norm_eps),
        "class_token": pool == "cls", "global_pool": {"mean": "avg", "cls": "token"}[pool], "reg_tokens": registers,
    }  # fmt: skip
    return kind(**{**chosen, **choices})


def taken(**choices: Any) -> tuple[Any, torch.optim.AdamW]:
    """timm's module with a grid of 4 x 4 positions, and its optimizer."""
    torch.manual_seed(1)
    net = timm_net(img_size=16, **choices)
    return net, optimizer_of(net)


def optimizer_of(net: Any) -> torch.optim.AdamW:
    """AdamW in timm's usual two groups."""
    decayed = [p for name, p in net.named_parameters() if p.dim() > 1 and name not in net.no_weight_decay()]
    rest = [p for p in net.parameters() if all(p is not other for other in decayed)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, 2e-3)


def timm_of(made: TorchMachine, pool: str = "mean", registers: int = 0, **choices: Any) -> Any:
    """timm's module of the machine's stored sizes and weights."""
    sizes = sizes_of(made.ledger)
    eps = made.ledger.slots["norm.eps"]
    assert isinstance(eps, float)
    own: dict[str, Any] = {
        "img_size": sizes["patch"] * sizes["grid"], "patch_size": sizes["patch"], "embed_dim": sizes["residual"],
        "depth": sizes["depth"], "num_heads": sizes["heads"] // sizes["head"],
    }  # fmt: skip
    net = timm_net(pool, registers, eps, **{**own, **choices}).to(next(iter(parameters(made).values())).dtype)
    theirs = parameters_of(net)
    with torch.no_grad():
        for cell in cells(TIMM_VIT, made.ledger):
            weight = theirs[cell.theirs]
            weight.copy_(joined(cell, [parameters(made)[name] for name in cell.ours], weight.dim()))
    return net


def agree(net: Any, made: TorchMachine) -> bool:
    """Whether all stored tensors of timm's module are those of the machine."""
    theirs = parameters_of(net)
    return all(
        torch.equal(theirs[cell.theirs], joined(cell, own, theirs[cell.theirs].dim()))
        for cell in cells(TIMM_VIT, made.ledger)
        for own in [[parameters(made)[name] for name in cell.ours]]
    )
