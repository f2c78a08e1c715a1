"""The edits of a plan's switches on timm's vision transformer."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import peers
import pytest
import torch
from plans import toy_image_plan
from torch_tools import machine, parameters, relative, shake

from shapeflow.base.diagnostics import Refused
from shapeflow.foreign.cells import cells
from shapeflow.torch import TIMM_VIT, grow
from shapeflow_torch.adopt.cells import joined, parameters_of
from shapeflow_torch.machine import TorchMachine

LEGS = (({"width": 32, "depth": 2}, 4), ({"width": 48, "depth": 2}, 3), ({"width": 48, "depth": 3}, 3))


def timm_of(made: TorchMachine, **choices: Any) -> Any:
    """timm's module of the machine's sizes and weights."""
    kind = peers.timm_module("timm.models.vision_transformer").VisionTransformer
    sizes, eps = made.plan.stages[0].sizes, made.ledger.slots["norm.eps"]
    net = kind(
        img_size=8,
        patch_size=sizes["patch"],
        in_chans=1,
        num_classes=10,
        embed_dim=32,
        depth=2,
        num_heads=4,
        fc_norm=False,
        no_embed_class=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=eps),
        **choices,
    )
    own = parameters_of(net)
    with torch.no_grad():
        for cell in cells(TIMM_VIT, made.ledger):
            weight = own[cell.theirs]
            weight.copy_(joined(cell, [parameters(made)[name] for name in cell.ours], weight.dim()))
    return net


@pytest.mark.parametrize(("pool", "registers"), [("mean", 0), ("cls", 0), ("cls", 2)])
def test_a_grown_vit_is_the_machines_tensor_by_tensor(pool: str, registers: int) -> None:
    plan = toy_image_plan(LEGS, model={"pool": pool, "registers": registers})
    made = shake(machine(plan))
    net = timm_of(
        made,
        class_token=pool == "cls",
        global_pool={"mean": "avg", "cls": "token"}[pool],
        reg_tokens=registers,
    )
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert relative(net(images), made.body.net(images)) < 1e-5
    for switch in (0, 1):
        stage = plan.stages[switch + 1]
        assert stage.transition is not None
        made.apply(stage.transition, stage)
        made.look(stage.reading)
        grow(net, optimizer, plan, switch, TIMM_VIT)
        own = parameters_of(net)
        for cell in cells(TIMM_VIT, made.ledger):
            weight = own[cell.theirs]
            assert torch.equal(weight, joined(cell, [parameters(made)[name] for name in cell.ours], weight.dim()))
        with torch.no_grad():
            assert relative(net(images), made.body.net(images)) < 1e-5
        net(images).square().mean().backward()
    assert len(net.blocks) == 3


def test_a_plan_that_reads_through_views_is_refused() -> None:
    plan = toy_image_plan((({"patch": 4, "width": 32}, 3), ({"patch": 2, "width": 32}, 3)))
    net = timm_of(machine(toy_image_plan(LEGS)), class_token=False, global_pool="avg")
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(Refused) as caught:
        grow(net, None, plan, 0, TIMM_VIT)
    assert caught.value.diagnostics[0].code == "unfit-model"
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
