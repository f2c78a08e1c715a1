"""The edits of a plan's switches on timm's vision transformer."""

from __future__ import annotations

import pytest
import torch
from plans import toy_image_plan
from timm_nets import agree, timm_net, timm_of
from torch_tools import machine, relative, shake

from shapeflow.torch import TIMM_VIT, grow, rehearse

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


@pytest.mark.parametrize(("pool", "registers"), [("mean", 0), ("cls", 2)])
def test_a_rehearsal_takes_images_in_float32(pool: str, registers: int) -> None:
    legs = ({"patch": 4, "width": 32}, {"patch": 2, "width": 32}, {"patch": 2, "width": 48})
    plan = toy_image_plan([(leg, 2) for leg in legs], model={"pool": pool, "registers": registers})
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = rehearse(timm_net(pool, registers), plan, TIMM_VIT, lambda net: net(images))  # type: ignore[no-any-return]
    assert [(one.exact, one.changed < 1e-12) for one in found] == [(False, False), (True, True)]
