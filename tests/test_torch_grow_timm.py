"""The edits of a plan's switches on timm's vision transformer."""

from __future__ import annotations

import pytest
import torch
from plans import toy_image_plan
from timm_nets import agree, timm_of
from torch_tools import machine, relative, shake

from shapeflow.torch import TIMM_VIT, grow

LEGS = (({"width": 32, "depth": 2}, 4), ({"width": 48, "depth": 2}, 3), ({"width": 48, "depth": 3}, 3))


@pytest.mark.parametrize(("pool", "registers"), [("mean", 0), ("cls", 0), ("cls", 2)])
def test_a_grown_vit_is_the_machines_tensor_by_tensor(pool: str, registers: int) -> None:
    plan = toy_image_plan(LEGS, model={"pool": pool, "registers": registers})
    made = shake(machine(plan))
    net = timm_of(made, pool, registers)
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
        assert agree(net, made)
        with torch.no_grad():
            assert relative(net(images), made.body.net(images)) < 1e-5
        net(images).square().mean().backward()
    assert len(net.blocks) == 3
