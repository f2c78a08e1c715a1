"""Views of a plan on timm's vision transformer: patch sizes and resolutions over tensors that stay as they are."""

from __future__ import annotations

import copy
import io
import operator
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from plans import toy_image_plan
from timm_nets import agree, taken, timm_net, timm_of
from torch import Tensor, nn
from torch_tools import disturb, losses, machine, parameters, relative

import shapeflow
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import sealed
from shapeflow.optimizers.adamw import Adamw
from shapeflow.running.execute import execute
from shapeflow.torch import HF_LLAMA, TIMM_VIT, become, grow, look

LEGS = (
    ({"patch": 4, "width": 32, "depth": 2}, 4),
    ({"patch": 2, "width": 32, "depth": 2}, 4),
    ({"patch": 2, "width": 48, "depth": 2}, 4),
    ({"patch": 4, "width": 48, "depth": 3}, 4),
)
"""A view, growth under the view, and growth with another view."""
POOLS = [("mean", 0), ("cls", 0), ("cls", 2)]


def plan_of(pool: str = "mean", registers: int = 0, **choices: Any) -> Plan:
    """Kernels of 4 px and a grid of 4 x 4 are stored, so that the first stage reads positions through a view."""
    return toy_image_plan(LEGS, grid=4, model={"pool": pool, "registers": registers}, **choices)


PLAN = plan_of()
BLENDED = plan_of(preview=0.5)


def images_of(seed: int = 0, side: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(6, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def steps(net: Any, optimizer: torch.optim.AdamW, plan: Plan, first: int, last: int) -> list[float]:
    """Follow a plan from one step to another as a loop does; return the losses."""
    session, made = shapeflow.follow(plan), []
    session.load_state_dict({"plan": plan.digest, "done": first})
    for step in session:
        if step.index == last:
            break
        if step.switch is not None:
            grow(net, optimizer, plan, step.switch, TIMM_VIT)
        look(net, plan, step, TIMM_VIT)
        assert net.patch_embed.patch_size == (step.patch, step.patch)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images_of(step.index)), torch.arange(6))
        loss.backward()
        optimizer.step()
        made.append(loss.item())
    return made


@pytest.mark.parametrize(("pool", "registers"), POOLS)
def test_a_vit_under_views_is_the_machines(pool: str, registers: int) -> None:
    plan = plan_of(pool, registers)
    made = disturb(machine(plan, torch.float64))
    net = timm_of(made, pool, registers)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    images = images_of(dtype=torch.float64)
    look(net, plan, shapeflow.at(plan, 0), TIMM_VIT)
    for at, stage in enumerate(plan.stages):
        if stage.transition is not None:
            made.apply(stage.transition, stage)
            made.look(stage.reading)
            grow(net, optimizer, plan, at - 1, TIMM_VIT)
        assert agree(net, made)
        for each in (net, made.body.net):
            each.zero_grad()
            each(images).square().mean().backward()
        assert relative(net(images), made.body.net(images)) < 1e-13
        for name, theirs in (("patch.weight", net.patch_embed.proj._parameters["weight"]),
                             ("pos", net._parameters["pos_embed"])):  # fmt: skip
            assert theirs.grad.shape == theirs.shape
            assert relative(theirs.grad, parameters(made)[name].grad) < 1e-12
        patch, grid = stage.shape.number("patch"), 8 // stage.shape.number("patch")
        embed = net.patch_embed
        assert (embed.patch_size, embed.grid_size, embed.img_size) == ((patch,) * 2, (grid,) * 2, (8, 8))
        assert (embed.num_patches, embed.proj.kernel_size, embed.proj.stride) == (grid**2, (patch,) * 2, (patch,) * 2)
        assert (net.pos_embed.shape[1], net.patch_embed.proj.weight.shape[-1]) == (grid**2, patch)


def test_a_loop_makes_the_losses_of_the_machine() -> None:
    """Through blends, a view, and growth under it, where new entries have ages of their own."""
    plan = plan_of(preview=0.5, optimizer=Adamw(lr=2e-3, warmup=4, beta2=0.999, weight_decay=0.01))
    made = machine(plan)
    net = timm_of(made)
    expected = losses(list(execute(plan, made)))
    matrices, rest = ([p for p in net.parameters() if (p.dim() > 1) is many] for many in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    optimizer, found = torch.optim.AdamW(groups, 2e-3, (0.9, 0.999)), []
    for step in shapeflow.follow(plan):
        if step.switch is not None:
            grow(net, optimizer, plan, step.switch, TIMM_VIT)
        look(net, plan, step, TIMM_VIT)
        images, labels = made.data.batch(plan.seed, step.index, step.before, step.samples, None, slice(step.samples))
        for group in optimizer.param_groups:
            group["lr"] = step.lr
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    assert found == pytest.approx(expected, abs=1e-4)
    assert type(optimizer) is not torch.optim.AdamW


def test_a_view_leaves_parameters_and_their_state_as_they_are() -> None:
    net, optimizer = taken()
    plain = [(name, tuple(p.shape)) for name, p in net.named_parameters()]
    steps(net, optimizer, PLAN, 0, 4)
    own = list(net.parameters())
    before = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    kept = [optimizer.state[p]["exp_avg_sq"] for p in own]
    assert grow(net, optimizer, PLAN, 0, TIMM_VIT).renewed == ()
    assert all(now is old for now, old in zip(net.parameters(), own, strict=True))
    assert all(optimizer.state[p]["exp_avg_sq"] is old for p, old in zip(own, kept, strict=True))
    assert [(name, tuple(p.shape)) for name, p in net.named_parameters()] == plain
    assert torch.equal(net.state_dict()["pos_embed"], before[0]["pos_embed"])
    assert optimizer.state_dict()["param_groups"] == before[1]["param_groups"]
    for at, state in before[1]["state"].items():
        assert all(torch.equal(value, optimizer.state_dict()["state"][at][part]) for part, value in state.items())
    assert type(optimizer) is torch.optim.AdamW


def test_any_optimizer_follows_a_view() -> None:
    """Also one with a group for each block, which a growth refuses."""
    net, _ = taken()
    blocks = [{"params": list(block.parameters())} for block in net.blocks]
    optimizer = torch.optim.Adagrad([*blocks, {"params": [net.pos_embed]}], 1e-2)
    look(net, PLAN, shapeflow.at(PLAN, 0), TIMM_VIT)
    for switch in (None, 0):
        if switch is not None:
            grow(net, optimizer, PLAN, switch, TIMM_VIT)
        net(images_of()).square().mean().backward()
        optimizer.step()
    assert all(state["step"] == 2 for state in optimizer.state.values())


def test_moments_are_reset_at_a_view_where_the_plan_says_so() -> None:
    transition = PLAN.stages[1].transition
    assert transition is not None
    first, second, *rest = PLAN.stages
    second = attrs.evolve(second, transition=attrs.evolve(transition, moments="reset"))
    plan = sealed(attrs.evolve(PLAN, stages=(first, second, *rest)))
    net, optimizer = taken()
    steps(net, optimizer, plan, 0, 2)
    adagrad = torch.optim.Adagrad(net.parameters(), 1e-2)
    assert refusal(lambda: grow(net, adagrad, plan, 0, TIMM_VIT)).code == "unfit-optimizer"
    grow(net, optimizer, plan, 0, TIMM_VIT)
    assert not any(optimizer.state.values())
    assert len(steps(net, optimizer, plan, 5, 7)) == 2


def test_blended_steps_alternate_between_readings() -> None:
    net, optimizer = taken()
    patches = {shapeflow.at(BLENDED, n).patch for n in range(4)}
    assert patches == {2, 4}
    made = steps(net, optimizer, BLENDED, 0, BLENDED.steps)
    assert made[-1] < made[0]
    step = next(shapeflow.at(BLENDED, n) for n in range(8, 12) if shapeflow.at(BLENDED, n).patch == 4)
    again, fresh = taken()
    become(again, BLENDED, step.index + 1, TIMM_VIT, fresh)
    look(again, BLENDED, step, TIMM_VIT)
    assert again.patch_embed.patch_size == (4, 4)
    look(again, BLENDED, step, TIMM_VIT, blended=False)
    assert again.patch_embed.patch_size == (2, 2)
    assert again(images_of()).shape == (6, 10)


def test_a_resumed_run_makes_the_same_losses() -> None:
    """In a stage under a view, at a switch, after a growth under the view, and after the last."""
    net, optimizer = taken()
    whole, kept = [], {}
    for at in range(BLENDED.steps):
        kept[at] = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        whole += steps(net, optimizer, BLENDED, at, at + 1)
    for done in (2, 4, 7, 10, 13):
        again, fresh = taken()
        become(again, BLENDED, done, TIMM_VIT, fresh)
        again.load_state_dict(kept[done][0])
        fresh.load_state_dict(kept[done][1])
        assert steps(again, fresh, BLENDED, done, done + 3) == whole[done : done + 3]


def test_an_averaged_module_is_read_too() -> None:
    net, optimizer = taken()
    look(net, PLAN, shapeflow.at(PLAN, 0), TIMM_VIT)
    average = copy.deepcopy(net)
    steps(net, optimizer, PLAN, 0, 4)
    grow(net, optimizer, PLAN, 0, TIMM_VIT, average=average)
    assert average.patch_embed.grid_size == (4, 4)
    # A switch of the patch size restarts the average.
    assert torch.equal(average(images_of()), net(images_of()))
    steps(net, optimizer, PLAN, 5, 8)
    before = average(images_of())
    grow(net, optimizer, PLAN, 1, TIMM_VIT, average=average)
    assert relative(average(images_of()), before) < 1e-5
    assert average.embed_dim == 48


def test_copies_and_pickles_are_read_alike() -> None:
    net, optimizer = taken()
    steps(net, optimizer, PLAN, 0, 6)
    wanted = net(images_of())
    for other in (copy.deepcopy(net), net.to(torch.float64)):
        assert relative(other(images_of().to(other.pos_embed)), wanted.to(other.pos_embed)) < 1e-5
    conv = net.patch_embed.proj.to(torch.float32)
    file = io.BytesIO()
    torch.save(conv, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert isinstance(again, nn.Conv2d)
    assert torch.equal(again(images_of()), conv(images_of()))
    assert list(dict(again.named_parameters())) == ["weight", "bias"]


def test_what_is_read_is_a_plain_model_of_its_patch_size() -> None:
    net, optimizer = taken()
    steps(net, optimizer, PLAN, 0, 6)
    baked = {name: operator.attrgetter(name)(net).detach() for name in net.state_dict()}
    assert baked["pos_embed"].shape == (1, 16, 32)
    plain = timm_net(patch_size=2)
    plain.load_state_dict(baked, strict=True)
    assert torch.equal(plain(images_of()), net(images_of()))


def test_a_module_follows_resolutions_and_patch_sizes() -> None:
    """`img_size` of timm's module is checked against the images in its forward pass."""
    legs = (
        ({"patch": 4, "resolution": 4}, 3),
        ({"patch": 4, "resolution": 8}, 3),
        ({"patch": 2, "resolution": 8}, 3),
        ({"patch": 2, "resolution": 6}, 3),
    )
    plan = toy_image_plan(legs, grid=4)
    made = disturb(machine(plan, torch.float64))
    net = timm_of(made)
    for at, stage in enumerate(plan.stages):
        step = shapeflow.at(plan, stage.first_step)
        if step.switch is not None and stage.transition is not None:
            made.apply(stage.transition, stage)
            grow(net, None, plan, at - 1, TIMM_VIT)
        made.look(stage.reading)
        look(net, plan, step, TIMM_VIT)
        images = images_of(side=step.resolution or 0, dtype=torch.float64)
        assert relative(net(images), made.body.net(images)) < 1e-13
    assert net.patch_embed.grid_size == (3, 3)


def refusal(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.diagnostics[0]


def test_modules_that_are_refused() -> None:
    first = shapeflow.at(PLAN, 0)
    net, _ = taken()
    torch.nn.utils.parametrizations.weight_norm(net.patch_embed.proj)
    found = refusal(lambda: look(net, PLAN, first, TIMM_VIT))
    assert (found.code, "parametrization" in "".join(found.notes)) == ("unfit-model", True)
    net, _ = taken(num_heads=8)
    found = refusal(lambda: look(net, PLAN, first, TIMM_VIT))
    assert (found.code, "blocks.0.attn.num_heads` of the module is 8" in found.message) == ("unfit-model", True)
    torch.manual_seed(1)
    found = refusal(lambda: look(timm_net(), PLAN, first, TIMM_VIT))
    assert (found.code, "`patch` of 4, `grid` of 4" in str(found.help)) == ("unfit-model", True)
    net, _ = taken()
    assert refusal(lambda: look(nn.DataParallel(net), PLAN, first, TIMM_VIT)).code == "wrapped-module"
    assert refusal(lambda: look(net, PLAN, first, HF_LLAMA)).code == "unfit-model"


def test_a_loop_that_does_not_look_is_refused() -> None:
    net, optimizer = taken()
    before = copy.deepcopy(net.state_dict())
    found = refusal(lambda: grow(net, optimizer, PLAN, 0, TIMM_VIT))
    assert (found.code, "`grid` of `pos` at 2" in found.message) == ("unfit-model", True)
    assert "look(" in str(found.help)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert net.patch_embed.img_size == (16, 16)
