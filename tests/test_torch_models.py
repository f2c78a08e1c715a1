"""The torch modules: parameter names, views, positions."""

from __future__ import annotations

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from torch.nn import functional
from torch_tools import CPU, inputs, machine, outputs, parameters, relative, shake, switch

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.edits import Resize, View, matrices
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan
from shapeflow_torch.models import build

PLANS = {
    "vit": toy_image_plan(),
    "vit, class token, registers": toy_image_plan(model={"pool": "cls", "registers": 3}),
    "transformer": toy_text_plan(),
    "transformer untied, shared heads": toy_text_plan(model={"tied": False, "kv_ratio": 2}),
}


def ledger_of(plan: Plan) -> Ledger:
    first = plan.stages[0]
    return Ledger.of(plan.parameters, first.sizes, plan.slots, first.reading)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_parameters_are_the_declared_table(plan: Plan) -> None:
    ledger = ledger_of(plan)
    net = build(plan.model.name if plan.model else "", ledger, CPU, torch.float32)
    assert {name: tuple(tensor.shape) for name, tensor in net.named_parameters()} == ledger.tensors()


def test_other_parameters_than_declared_are_refused() -> None:
    plan = toy_text_plan()
    fewer = attrs.evolve(plan, parameters=plan.parameters[:-1])
    with pytest.raises(Refused, match=r"wrong-parameters: 1 tensors"):
        build("transformer", ledger_of(fewer), CPU, torch.float32)


def test_a_view_that_the_module_does_not_read_through_is_refused() -> None:
    ledger = ledger_of(toy_text_plan())
    ledger.apply(View("embed.weight", "residual", Resize(16, "values")))
    with pytest.raises(Refused, match="no-such-view"):
        build("transformer", ledger, CPU, torch.float32)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_first_weights_depend_on_the_seed_alone(plan: Plan) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = parameters(machine(plan))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    two, other = parameters(machine(plan)), parameters(machine(attrs.evolve(plan, seed=1)))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_first_weights_have_the_stated_spread() -> None:
    plan = toy_text_plan(model={"width": 128, "head_width": 32})
    found = parameters(machine(plan))
    expected = {
        "embed.weight": 0.05,
        "blocks.1.attn.q.weight": 128**-0.5,
        "blocks.1.mlp.up.weight": 128**-0.5,
        "blocks.1.attn.o.weight": 128**-0.5 / 2,
        "blocks.1.mlp.down.weight": 384**-0.5 / 2,
    }
    for name, spread in expected.items():
        assert float(found[name].detach().std()) == pytest.approx(spread, rel=0.03)


def test_patch_size_and_back_is_bit_identical() -> None:
    """Patch size 12 -> 8 -> 12 on an image of 24 px: a view never changes the stored kernel."""
    plan = toy_image_plan((({"patch": 4}, 1), ({"patch": 2}, 1), ({"patch": 8}, 1)), base=4, grid=2)
    made = shake(machine(plan))
    before, stored, optimizer = outputs(made), made.body.net, made.body.optimizer
    kernel = parameters(made)["patch.weight"].detach().clone()
    for stage in plan.stages[1:]:
        made.look(stage.reading)
        assert relative(outputs(made), before) > 1e-3
    made.look(plan.stages[0].reading)
    assert torch.equal(outputs(made), before)
    assert torch.equal(parameters(made)["patch.weight"], kernel)
    assert made.body.net is stored
    assert made.body.optimizer is optimizer


def test_a_view_is_the_pseudo_inverse_of_the_images_resize() -> None:
    """FlexiViT, eq. 3, in two dimensions: W_p = W pinv(B), B the bilinear resize of a patch; the positions are
    `interpolate(antialias=True)`."""
    plan = toy_image_plan((({"patch": 4}, 1), ({"patch": 2}, 1)), base=4, grid=2)
    made = machine(plan, torch.float64)
    made.look(plan.stages[1].reading)
    net, found = made.body.net, parameters(made)
    squares = torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    resized = functional.interpolate(squares, size=(2, 2), mode="bilinear", antialias=True).reshape(16, 4)
    kernel = found["patch.weight"].detach()
    expected = (kernel.reshape(32, 16) @ torch.linalg.pinv(resized.T)).reshape(32, 1, 2, 2)
    assert relative(net.see("patch.weight", kernel), expected) < 1e-12
    grid = found["pos"].detach().reshape(1, 2, 2, 32).permute(0, 3, 1, 2)
    larger = functional.interpolate(grid, size=(4, 4), mode="bilinear", antialias=True)
    assert relative(net.see("pos", found["pos"].detach()), larger.permute(0, 2, 3, 1).reshape(1, 16, 32)) < 1e-12
    assert matrices(Resize(2, "kernel", True), 4)[0].shape == (2, 4)


def test_patch_embedding_is_a_strided_convolution() -> None:
    made = machine(toy_image_plan(), torch.float64)
    found, images = parameters(made), inputs(made)
    conv = functional.conv2d(images, found["patch.weight"], found["patch.bias"], stride=4).flatten(2).transpose(1, 2)
    assert relative(made.body.net.patch(images, found["patch.weight"]), conv) < 1e-12  # type: ignore[operator]


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_head_reads_the_class_token_or_the_mean_of_the_patches(pool: str) -> None:
    """Only blocks read registers, so registers have no effect in a model without blocks."""
    made = shake(machine(toy_image_plan(model={"pool": pool, "registers": 3})))
    net, found = made.body.net, parameters(made)
    before = outputs(made)
    with torch.no_grad():
        found["registers"].add_(torch.linspace(-1, 1, 32))
    assert relative(outputs(made), before) > 1e-4
    net.blocks = torch.nn.ModuleList()
    patches = net.patch(inputs(made), found["patch.weight"]) + found["pos"]  # type: ignore[operator]
    if pool == "cls":
        patches = found["cls"].expand(len(patches), 1, -1)
    wanted = net.norm(patches).mean(1)  # type: ignore[operator]
    assert relative(net.features(inputs(made)), wanted) < 1e-6


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_tokens_before_the_patches_have_no_place_in_the_grid(pool: str) -> None:
    """Class token and registers do not change with patch size or resolution, and all of them have gradients."""
    legs = (({"patch": 4, "resolution": 8}, 1), ({"patch": 2, "resolution": 8}, 1), ({"patch": 2, "resolution": 4}, 1))
    made = shake(machine(toy_image_plan(legs, model={"pool": pool, "registers": 3})))
    names = [name for name in ("cls", "registers") if name in parameters(made)]
    assert len(names) == 1 + (pool == "cls")
    for stage in made.plan.stages:
        assert not {name for name, views in made.ledger.views.items() if views} & set(names)
        made.look(stage.reading)
        made.body.net(inputs(made)).square().sum().backward()
        assert all(bool(parameters(made)[name].grad.any()) for name in names)  # type: ignore[union-attr]
        made.body.optimizer.zero_grad()


def test_a_resolution_is_that_of_the_images_and_of_the_grid() -> None:
    legs = (({"resolution": 8}, 1), ({"resolution": 4}, 1), ({"resolution": 16}, 1))
    made = shake(machine(toy_image_plan(legs, model={"upsample": True})))
    before, optimizer, whole = outputs(made), made.body.optimizer, inputs(made)
    for stage, side in zip(made.plan.stages[1:], (4, 16), strict=True):
        made.look(stage.reading)
        assert made.body.net.see("pos", parameters(made)["pos"]).shape == (1, (side // 4) ** 2, 32)
        seen = functional.interpolate(whole, (side, side), mode="bilinear", antialias=True)
        assert torch.equal(inputs(made), seen)
        assert outputs(made).shape == before.shape
        made.step(stage, 6, 0.0)
        assert made.body.optimizer is optimizer
    made = shake(machine(made.plan))
    made.look(made.plan.stages[2].reading)
    made.look(made.plan.stages[0].reading)
    assert torch.equal(outputs(made), before)


def test_held_out_images_are_seen_at_the_resolution_of_the_stage() -> None:
    legs = (({"resolution": 8}, 1), ({"resolution": 4}, 1))
    made = shake(machine(toy_image_plan(legs)))
    made.body.restart_average()
    for stage, side in zip(made.plan.stages, (8, 4), strict=True):
        made.look(stage.reading)
        ((images, classes),) = made.data.held_out(side, 0, 1)
        assert images.shape[-1] == side
        with torch.no_grad():
            wanted = functional.cross_entropy(made.body.net(images), classes)
        assert made.measure(stage).values["cross_entropy"] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_tokens_stay_where_patches_and_images_are_enlarged_alike(dtype: torch.dtype, close: float) -> None:
    """If patch size and resolution grow by the same factor, enlarging each patch separately keeps all tokens. Enlarging
    the whole image mixes neighbours at the borders of patches."""
    legs = (({"patch": 4, "resolution": 8}, 1), ({"patch": 8, "resolution": 16}, 1))
    made = machine(toy_image_plan(legs, model={"upsample": True}), dtype)
    net, images, found = made.body.net, inputs(made), parameters(made)

    def tokens(seen: torch.Tensor) -> torch.Tensor:
        kernel = net.see("patch.weight", found["patch.weight"])
        made: torch.Tensor = net.patch(seen, kernel) + net.see("pos", found["pos"])  # type: ignore[operator]
        return made

    before = tokens(images)
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).reshape(-1, 1, 4, 4)
    large = functional.interpolate(patches, (8, 8), mode="bilinear").view(len(images), 2, 2, 8, 8)
    switch(made)
    assert relative(tokens(large.permute(0, 1, 3, 2, 4).reshape(-1, 1, 16, 16)), before) < close
    whole = functional.interpolate(images, (16, 16), mode="bilinear")
    assert relative(whole, inputs(made)) < 1e-6
    assert relative(tokens(whole), before) > 1e-2


@pytest.mark.parametrize("name", ["transformer", "transformer untied, shared heads"])
def test_a_longer_context_keeps_the_logits_at_shared_positions(name: str) -> None:
    made = shake(machine(PLANS[name]))
    tokens = torch.randint(0, 256, (4, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        short, long = made.body.net(tokens[:, :16]), made.body.net(tokens)
        again = made.body.net(tokens[:, :16])
    assert relative(long[:, :16], short) < 1e-6
    assert torch.equal(again, short)


def test_positions_matter_and_the_future_does_not() -> None:
    made = shake(machine(toy_text_plan()))
    tokens = torch.randint(0, 256, (1, 16), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[0, 8:] = 7
    with torch.no_grad():
        one, two = made.body.net(tokens), made.body.net(other)
    assert relative(one[:, :8], two[:, :8]) < 1e-6
    assert relative(one[:, 8:], two[:, 8:]) > 1e-2
    with torch.no_grad():
        swapped = made.body.net(tokens[:, [1, 0, *range(2, 16)]])
    assert relative(swapped[:, -1], one[:, -1]) > 1e-4


def test_context_switch_touches_no_tensor() -> None:
    made = shake(machine(toy_text_plan()))
    before = {name: tensor.data_ptr() for name, tensor in parameters(made).items()}
    optimizer = made.body.optimizer
    switch(made)
    assert {name: tensor.data_ptr() for name, tensor in parameters(made).items()} == before
    assert made.body.optimizer is optimizer
    assert inputs(made).shape == (4, 64)
