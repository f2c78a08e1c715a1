"""Switches in torch: preserved functions, carried moments, ages of entries, and surgery on tensors."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import pytest
import torch
from plans import Leg, toy_image_plan, toy_text_plan
from torch import Tensor, nn
from torch_tools import (
    adamw,
    averaged,
    disturb,
    empty_state,
    gradients,
    machine,
    members,
    outputs,
    parameters,
    relative,
    shake,
    switch,
)

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.edits import Along, Constant, Edit, Grow, Normal, Resize, View
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.noise import noise
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Plan, Spec, Transition
from shapeflow.optimizers.adamw import Adamw
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow_torch import surgery
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.objectives import Asked, Objective
from shapeflow_torch.optimizers import optimizer_of
from shapeflow_torch.optimizers.aged import AgedAdamW, Memory, ages_matter, lasting
from shapeflow_torch.surgery import Kept, operate

DepthInit = Literal["copyzero", "zero", "stack", "interleave"]

VITS = {"vit": {}, "cls": {"pool": "cls"}, "registers": {"pool": "cls", "registers": 3}, "mean": {"registers": 3}}
"""Settings of vision transformers with different pooling and registers."""

SLOW = Adamw(lr=2e-3, warmup=0, beta2=0.999, average=20)


def growth(kind: str, init: Literal["normal", "preserve", "net2net"], to: int = 48, **settings: object) -> Plan:
    legs = (({"width": 32}, 6), ({"width": to}, 6))
    if kind in VITS:
        return toy_image_plan(legs, init=init, optimizer=SLOW, model=VITS[kind], **settings)  # type: ignore[arg-type]
    model = {"tied": False, "kv_ratio": 2} if kind == "shared" else {}
    return toy_text_plan(legs, init=init, optimizer=SLOW, model=model, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("init", ["preserve", "net2net"])
@pytest.mark.parametrize("kind", [*VITS, "tied", "shared"])
def test_wider_keeps_the_function_and_the_averages_function(
    kind: str, init: Literal["preserve", "net2net"], dtype: torch.dtype, close: float
) -> None:
    made = machine(growth(kind, init, 64), dtype)
    if dtype == torch.float32:
        shake(made)
    else:
        disturb(made)
    before, average = outputs(made), averaged(made)
    assert relative(before, average) > 1e-4
    switch(made)
    assert relative(outputs(made), before) < close
    assert relative(averaged(made), average) < close


@pytest.mark.parametrize("kind", ["vit", "registers", "tied", "shared"])
def test_normal_keeps_old_entries_and_their_moments_bit_for_bit(kind: str) -> None:
    made = shake(machine(growth(kind, "normal")))
    old = {name: value.clone() for name, value in made.body.kept().values.items()}
    states = {name: {k: t.clone() for k, t in s.items()} for name, s in made.body.kept().states.items()}
    switch(made)
    kept = made.body.kept()
    for name, value in old.items():
        corner = tuple(slice(0, size) for size in value.shape)
        assert torch.equal(kept.values[name][corner], value)
        assert torch.equal(kept.states[name]["exp_avg"][corner], states[name]["exp_avg"])
        assert torch.equal(kept.states[name]["exp_avg_sq"][corner], states[name]["exp_avg_sq"])
    assert made.average_age == 0
    assert all(torch.equal(made.body.averages[name], value) for name, value in kept.values.items())


@pytest.mark.parametrize("init", ["preserve", "net2net"])
@pytest.mark.parametrize("kind", ["tied", "shared"])
def test_moments_follow_the_gradient(kind: str, init: Literal["preserve", "net2net"]) -> None:
    """Set the first moment to the gradient, switch, and compare the carried moment with the new gradient."""
    made = machine(growth(kind, init, 64), torch.float64)
    disturb(made)
    gradients(made)
    for parameter in parameters(made).values():
        assert parameter.grad is not None
        made.body.optimizer.state[parameter] = {
            "step": torch.tensor(1.0),
            "exp_avg": parameter.grad.clone(),
            "exp_avg_sq": parameter.grad.square(),
        }
    switch(made)
    gradients(made)
    for name, parameter in parameters(made).items():
        state = made.body.optimizer.state[parameter]
        carried = state["exp_avg"] != 0
        assert parameter.grad is not None
        assert carried.any()
        assert relative(parameter.grad[carried], state["exp_avg"][carried]) < 1e-10, name
        assert torch.allclose(state["exp_avg_sq"], state["exp_avg"].square(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("moments", "update"), [("fresh", 1.0), ("carry", 0.1), ("carry_raw", 2.515), ("reset", 1.0)])
def test_first_update_of_a_new_entry(moments: Literal["fresh", "carry", "carry_raw", "reset"], update: float) -> None:
    """The update in units of the learning rate, with a constant gradient, after 1000 steps at betas (.9, .999)."""
    made = machine(growth("vit", "preserve", 64, moments=moments))
    for _ in range(1000):
        _push(made)
    switch(made)
    for group in made.body.optimizer.param_groups:
        group["lr"] = 2e-3
    found = parameters(made)["blocks.0.mlp.fc1.weight"]
    before = found.detach().clone()
    assert isinstance(made.body.optimizer, AgedAdamW) == (moments == "fresh")
    _push(made)
    moved = (before - found.detach()) / 2e-3
    assert float(moved[200, 40]) == pytest.approx(update, abs=2e-3)
    old = 1.0
    assert float(moved[0, 0]) == pytest.approx(old, abs=2e-3)


def test_a_raw_carry_of_very_old_moments_is_three_times_too_far() -> None:
    """The first update tends to (1 - b1) / sqrt(1 - b2) for a large step number; here at betas (.9, .999)."""
    made = machine(growth("vit", "preserve", 64, moments="carry_raw"))
    _push(made)
    switch(made)
    found = parameters(made)["blocks.0.mlp.fc1.weight"]
    made.body.optimizer.state[found]["step"].fill_(1e6)
    for group in made.body.optimizer.param_groups:
        group["lr"] = 2e-3
    before = found.detach().clone()
    _push(made)
    assert float((before - found.detach())[200, 40]) / 2e-3 == pytest.approx(3.162, abs=2e-3)


def test_the_curve_of_a_raw_carry() -> None:
    """An entry with empty moments and a large age, under a constant gradient: torch's own optimizer updates it by
    (1 - beta1^t) / sqrt(1 - beta2^t) in units of the learning rate."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    state = {**empty_state(weight), "step": torch.tensor(1e6)}
    settings = {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "eps": 0.0, "weight_decay": 0.0}
    optimizer = adamw({"weight": weight}, settings, {"weight": state})
    moved = []
    for _ in range(100):
        before = weight.item()
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        moved.append(before - weight.item())
    assert moved == pytest.approx([(1 - 0.9**t) / (1 - 0.999**t) ** 0.5 for t in range(1, 101)], rel=1e-9)
    assert [round(moved[t - 1], 2) for t in (1, 2, 5, 12, 100)] == [3.16, 4.25, 5.80, 6.57, 3.24]
    assert max(moved) == moved[11]
    assert round(sum(moved)) == 466


def _push(made: TorchMachine) -> None:
    for parameter in parameters(made).values():
        parameter.grad = torch.ones_like(parameter)
    made.body.optimizer.step()


def test_quick_second_moments_need_no_ages() -> None:
    plan = growth("tied", "preserve")
    assert plan.optimizer is not None
    quick = attrs.evolve(plan.optimizer, settings={**plan.optimizer.settings, "beta2": 0.95})
    made = shake(machine(attrs.evolve(plan, optimizer=quick)))
    switch(made)
    assert not isinstance(made.body.optimizer, AgedAdamW)


def test_aged_adamw_is_adamw_where_ages_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1}
    ends = []
    for ages in (torch.zeros(()), torch.zeros(3, 4)):
        weight = torch.nn.Parameter(torch.arange(12.0, dtype=torch.float64).view(3, 4))
        state = {"w": {**empty_state(weight), "step": ages.clone()}}
        optimizer = adamw({"w": weight}, settings, state, decays=True)
        generator.manual_seed(0)
        for _ in range(20):
            weight.grad = torch.randn(3, 4, generator=generator, dtype=torch.float64)
            optimizer.step()
        ends.append(weight.detach().clone())
    assert torch.allclose(ends[0], ends[1], rtol=1e-6, atol=1e-6)


def test_parameters_without_ages_stay_fused() -> None:
    """A parameter without ages gets torch's updates bit for bit, even if another parameter has ages."""
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1}
    ends = []
    for age in (torch.tensor(1.0), torch.tensor([1.0, 1.0, 0.0, 1.0])):
        both = {name: torch.nn.Parameter(torch.linspace(-1, 1, 4)) for name in ("grown", "plain")}
        state = {"grown": {**empty_state(both["grown"]), "step": age}}
        optimizer = adamw(both, settings, state, decays=True)
        assert isinstance(optimizer, AgedAdamW) == bool(age.dim())
        for step in range(5):
            for parameter in both.values():
                parameter.grad = torch.linspace(-step, 1.3, 4)
            optimizer.step()
        ends.append([parameter.detach() for parameter in both.values()])
    assert torch.equal(ends[0][1], ends[1][1])
    assert (ends[0][0] != ends[1][0]).tolist() == [False, False, True, False]


def test_only_matrices_decay() -> None:
    made = machine(toy_image_plan())
    decays = Counter(group["weight_decay"] for group in made.body.optimizer.param_groups for _ in group["params"])
    assert decays == {0.01: 15, 0.0: 24}


def test_fills_do_not_depend_on_torch() -> None:
    plan = growth("tied", "normal")
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made = shake(machine(plan))
        state = torch.get_rng_state()
        switch(made)
        assert torch.equal(torch.get_rng_state(), state)
        ends.append({name: value.clone() for name, value in made.body.kept().values.items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_new_entries_have_the_stated_mean_square() -> None:
    made = shake(machine(growth("vit", "normal", 64)))
    name = "blocks.1.mlp.fc1.weight"
    old = parameters(made)[name].detach().clone()
    switch(made)
    new = parameters(made)[name].detach().clone()
    mask = torch.ones_like(new, dtype=torch.bool)
    mask[: old.shape[0], : old.shape[1]] = False
    ratio = float(new[mask].square().mean() / old.square().mean())
    assert ratio == pytest.approx(1.0, abs=3 * (2 / int(mask.sum())) ** 0.5)


def deeper(
    kind: str, init: DepthInit, legs: Sequence[Leg] = (({"depth": 2}, 6), ({"depth": 4}, 6)), **more: Any
) -> Plan:
    depth = DepthExpand(init=init, **more)
    if kind in VITS:
        return toy_image_plan(legs, depth=depth, optimizer=SLOW, model=VITS[kind])
    model = {"tied": False, "kv_ratio": 2} if kind == "shared" else {}
    return toy_text_plan(legs, depth=depth, optimizer=SLOW, model=model)


@pytest.mark.parametrize("init", ["copyzero", "zero"])
@pytest.mark.parametrize("kind", [*VITS, "tied", "shared"])
def test_deeper_keeps_the_function_and_the_averages_function_bit_for_bit(kind: str, init: DepthInit) -> None:
    made = shake(machine(deeper(kind, init)))
    before, average = outputs(made), averaged(made)
    assert relative(before, average) > 1e-4
    switch(made)
    assert len(made.body.net.blocks) == 4
    assert torch.equal(outputs(made), before)
    assert torch.equal(averaged(made), average)
    assert made.average_age > 0


@pytest.mark.parametrize("init", ["stack", "interleave"])
@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_repeated_blocks_change_the_function(kind: str, init: DepthInit) -> None:
    made = shake(machine(deeper(kind, init)))
    before = outputs(made)
    switch(made)
    assert relative(outputs(made), before) > 1e-2
    assert made.average_age == 0
    assert all(torch.equal(made.body.averages[name], value) for name, value in made.body.kept().values.items())


@pytest.mark.parametrize(
    ("init", "sources"),
    [("copyzero", (0, 0, 1, 1)), ("stack", (0, 1, 0, 1)), ("interleave", (0, 0, 1, 1)), ("zero", (0, 1, None, None))],
)
@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_blocks_come_with_their_state(kind: str, init: DepthInit, sources: Sequence[int | None]) -> None:
    """Old blocks keep their state under their new numbers; copies have the second moment and age of their source."""
    made = shake(machine(deeper(kind, init)))
    old = made.body.kept()
    states = {name: {k: t.clone() for k, t in s.items()} for name, s in old.states.items()}
    values = {name: value.clone() for name, value in old.values.items()}
    switch(made)
    kept = made.body.kept()
    for name in (name for name in kept.values if name.startswith("blocks.0.")):
        adds = name.endswith(("attn.o.weight", "attn.o.bias", "mlp.fc2.weight", "mlp.fc2.bias", "mlp.down.weight"))
        for entry, origin in enumerate(sources):
            here = name.replace("blocks.0", f"blocks.{entry}")
            new = entry != sources.index(origin) or origin is None
            assert bool(kept.states[here]["exp_avg"].any()) == (not new)
            if new and adds and init in ("copyzero", "zero"):
                assert not kept.values[here].any()
            if origin is None:
                assert not kept.states[here]["exp_avg_sq"].any()
                assert float(kept.states[here]["step"]) == 0
                continue
            there = name.replace("blocks.0", f"blocks.{origin}")
            assert torch.equal(kept.states[here]["exp_avg_sq"], states[there]["exp_avg_sq"])
            assert float(kept.states[here]["step"]) == 4
            if not new:
                assert torch.equal(kept.states[here]["exp_avg"], states[there]["exp_avg"])
            if not new or not adds or init != "copyzero":
                assert torch.equal(kept.values[here], values[there])


@pytest.mark.parametrize(
    ("init", "moments", "update", "old"),
    [
        ("zero", "fresh", 1.0, 1.0),
        ("copyzero", "fresh", 0.1, 1.0),
        ("stack", "fresh", 0.1, 1.0),
        ("copyzero", "reset", 1.0, 1.0),
    ],
)
def test_first_update_of_a_new_block(
    init: DepthInit, moments: Literal["fresh", "reset"], update: float, old: float
) -> None:
    """The update in units of the learning rate, with a constant gradient, after 1000 steps at betas (.9, .999).

    A new block has age 0 and makes a full update. A copy starts with an empty first moment and an old second moment.
    """
    made = machine(deeper("vit", init, moments=moments))
    for _ in range(1000):
        _push(made)
    switch(made)
    assert isinstance(made.body.optimizer, torch.optim.AdamW), "whole blocks need no age an entry"
    for group in made.body.optimizer.param_groups:
        group["lr"], group["weight_decay"] = 2e-3, 0.0
    before = {name: value.detach().clone() for name, value in parameters(made).items()}
    _push(made)
    moved = {name: (value - parameters(made)[name].detach()) / 2e-3 for name, value in before.items()}
    last = 3
    for part in ("attn.o.weight", "attn.o.bias", "attn.q.weight", "norm1.weight", "mlp.fc2.weight"):
        assert float(moved[f"blocks.0.{part}"].mean()) == pytest.approx(old, abs=2e-3)
        assert float(moved[f"blocks.{last}.{part}"].mean()) == pytest.approx(update, abs=2e-3)


@pytest.mark.parametrize("init", ["copyzero", "zero"])
@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_new_blocks_learn_what_they_write_first(kind: str, init: DepthInit) -> None:
    made = shake(machine(deeper(kind, init)))
    switch(made)
    stage = made.plan.stages[1]
    added = {"zero": 3, "copyzero": 1}[init]
    for learning in (("attn.o.weight", "mlp.fc2.weight", "mlp.down.weight"), ("",)):
        gradients(made)
        found = {
            n: bool(p.grad is not None and p.grad.any()) for n, p in parameters(made).items() if f"s.{added}." in n
        }
        assert found
        # The bias of keys adds the same number to all scores of a query, which softmax ignores.
        found = {n: any_ for n, any_ in found.items() if not n.endswith(("k.bias", "o.bias", "fc2.bias"))}
        assert {n for n, any_ in found.items() if any_} == {n for n in found if n.endswith(learning)}
        made.body.optimizer.zero_grad()
        made.step(stage, 6, 0.0)


@pytest.mark.parametrize("init", ["copyzero", "zero"])
@pytest.mark.parametrize("kind", ["vit", "registers", "tied", "shared"])
def test_deeper_and_wider_at_one_switch(kind: str, init: DepthInit) -> None:
    legs = (({"depth": 2, "width": 32}, 6), ({"depth": 4, "width": 64}, 6))
    made = shake(machine(deeper(kind, init, legs)))
    before, average = outputs(made), averaged(made)
    switch(made)
    assert (len(made.body.net.blocks), made.ledger.sizes["norm.weight"]["residual"]) == (4, 64)
    assert relative(outputs(made), before) < 1e-5
    assert relative(averaged(made), average) < 1e-5
    made.step(made.plan.stages[1], 6, 0.0)
    assert all(value.isfinite().all() for value in made.body.kept().values.values())


def test_a_new_tensor_has_one_age() -> None:
    """A tensor whose entries all have age 0 needs one age, not one per entry."""
    plan = toy_text_plan((({"context": 16}, 6),))
    made = shake(machine(plan))
    edits = tuple(
        Grow(p.name, (Along("depth", 3, Normal(1.0) if p.role == "matrix" else Constant(1.0)),))
        for p in plan.parameters
        if p.listed
    )
    ledger = made.ledger
    transition = Transition(("by_hand",), edits, "fresh", "map", "lossy", 1.0)
    kept = made.body.kept()
    operate(kept, ledger, transition, plan.apart, 0, 0, optimizer_of(Spec("adamw", {"beta2": 0.999})))
    assert float(kept.states["blocks.2.mlp.up.weight"]["step"]) == 0
    assert float(kept.states["blocks.1.mlp.up.weight"]["step"]) == 4
    assert kept.values["blocks.2.mlp.up.weight"].abs().sum() > 0


def test_fused_dims_grow_in_their_parts() -> None:
    """In fused queries, keys and values, new rows belong to their part and use the mean square of that part."""
    table = (Parameter("qkv.weight", ("part heads", "residual"), "matrix", "heads"),)
    ledger = Ledger.of(table, {"part": 3, "heads": 16, "residual": 16}, {})
    weight = torch.randn(48, 16, generator=torch.Generator().manual_seed(0))
    weight[16:32] *= 100
    edit = Grow("qkv.weight", (Along("heads", 24, Normal(1.0)), Along("residual", 24, Normal(1.0))))
    transition = Transition(("by_hand",), (edit,), "fresh", "map", "lossy", 1.0)
    kept = Kept({"qkv.weight": weight.clone()}, {"qkv.weight": weight.clone()}, {})
    operate(kept, ledger, transition, ("part",), 0, 0, optimizer_of(Spec("adamw", {"beta2": 0.999})))
    grown = kept.values["qkv.weight"].view(3, 24, 24)
    assert torch.equal(grown[:, :16, :16], weight.view(3, 16, 16))
    assert 50 < float(grown[1, 16:].std() / grown[0, 16:].std()) < 200


def test_a_batch_changes_only_samples_and_learning_rate() -> None:
    made = shake(machine(toy_image_plan((({"batch": 8}, 6), ({"batch": 32}, 6)), optimizer=SLOW)))
    before, average, body = outputs(made), averaged(made), made.body
    assert {group["lr"] for group in body.optimizer.param_groups} == {2e-3 * 0.5}
    switch(made)
    assert made.body is body, "nothing is rebuilt"
    assert torch.equal(outputs(made), before)
    assert torch.equal(averaged(made), average)
    made.step(made.plan.stages[1], 6, 0.0)
    assert {group["lr"] for group in body.optimizer.param_groups} == {2e-3}


@pytest.mark.parametrize(("legs", "samples"), [((8, 32), 32), ((32, 8), 8)])
def test_a_step_takes_the_images_of_its_stage(
    legs: tuple[int, int], samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(toy_image_plan((({"batch": legs[0]}, 6), ({"batch": legs[1]}, 6))))
    switch(made)
    taken: list[int] = []

    class Spy(Objective):
        def loss(self, logits: Tensor, asked: Asked) -> Tensor:
            taken.append(len(asked.targets))
            return logits.square().mean()

    monkeypatch.setattr(made, "_objectives", dict.fromkeys(made._objectives, Spy()))
    made.step(made.plan.stages[1], 6, 0.0)
    assert taken == [samples]


def grown(tensor: Tensor, dims: tuple[str, ...], *edits: Edit, name: str = "w") -> Tensor:
    """A single tensor after the edits of one switch."""
    kept = Kept({name: tensor.clone()}, {name: tensor.clone()}, {})
    ledger = Ledger.of((Parameter(name, dims, "matrix", dims[0]),), dict(zip(dims, tensor.shape, strict=True)), {})
    operate(
        kept,
        ledger,
        Transition(("by_hand",), edits, "fresh", "map", "lossy", 1.0),
        (),
        7,
        0,
        optimizer_of(Spec("adamw", {"beta2": 0.999})),
    )
    return kept.values[name]


def test_a_dim_on_two_axes_has_different_numbers_on_each() -> None:
    """Rows and columns of a matrix whose axes are the same dim get different random numbers."""
    made = grown(torch.ones(32, 32), ("residual", "residual"), Grow("w", (Along("residual", 64, Normal(1.0)),)))
    assert len(made.unique()) == 64 * 64 - 32 * 32 + 1


def test_new_entries_are_those_of_the_pinned_noise() -> None:
    """New entries are those of the noise array for the tensor's new sizes, even where only part of it is generated."""
    along = (Along("hidden", 40, Normal(0.25)), Along("residual", 24, Normal(1.0)))
    old = torch.full((32, 16), 2.0)
    made = grown(old, ("hidden", "residual"), Grow("w", along))
    rows = noise(7, 0, "w", "hidden", 0, 40 * 16).reshape(40, 16)[32:]
    columns = noise(7, 0, "w", "residual", 0, 40 * 24).reshape(40, 24)[:, 16:]
    assert torch.equal(made[32:, :16], torch.from_numpy(rows).float())
    assert torch.equal(made[:, 16:], torch.from_numpy(columns).float() * 2)


def test_a_mean_square_is_taken_before_its_edit_and_after_earlier_ones() -> None:
    """A `Grow` of two dims uses the mean square before it; a second `Grow` uses that after the first."""
    first, second = Along("hidden", 8, Constant(3.0)), Along("residual", 5, Normal(1.0))
    old, numbers = torch.ones(4, 4), torch.from_numpy(noise(7, 0, "w", "residual", 0, 40)).float().view(8, 5)[:, 4]
    once = grown(old, ("hidden", "residual"), Grow("w", (first, second)))
    twice = grown(old, ("hidden", "residual"), Grow("w", (first,)), Grow("w", (second,)))
    assert torch.equal(once[:, 4], numbers)
    assert torch.equal(twice[:, 4], numbers * math.sqrt(5.0))


@pytest.mark.parametrize(
    ("beta1", "beta2", "matter"),
    [
        (0.9, 0.95, False),
        (0.9, 0.999, True),
        (0.0, 0.95, True),
        (0.8, 0.95, True),
        (0.95, 0.95, False),
        (0.99, 0.995, False),
    ],
)
def test_ages_matter_where_updates_would_be_too_long(beta1: float, beta2: float, matter: bool) -> None:
    """Compared with Adam's recursion from empty moments without bias correction, with a constant gradient."""
    first = second = largest = 0.0
    for _ in range(3000):
        first, second = beta1 * first + 1 - beta1, beta2 * second + 1 - beta2
        largest = max(largest, first / math.sqrt(second))
    assert ages_matter(beta1, beta2) == matter == (largest > 1.1)


def patchwork() -> Tensor:
    """An array of ages that has three values, in rows, columns and a fused dim."""
    ages = torch.full((12, 5, 3), 40.0)
    ages[:, 3:] = 7
    ages[2:4] = ages[8:10] = 0
    ages[..., 2] = 0
    return ages


def aged(ages: Tensor, beta2: float = 0.9, varied: bool = False) -> tuple[AgedAdamW, torch.nn.Parameter]:
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 180).view(12, 5, 3))
    settings = {"lr": 1e-2, "beta1": 0.5, "beta2": beta2, "eps": 1e-8, "weight_decay": 0.1}
    state = {"w": {**empty_state(weight), "step": ages}}
    optimizer = adamw({"w": weight}, settings, state, decays=True, varied=varied)
    assert isinstance(optimizer, AgedAdamW)
    return optimizer, weight


def pushed(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, steps: range) -> None:
    for step in steps:
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        optimizer.step()


def test_every_entry_is_updated_at_its_own_age() -> None:
    optimizer, weight = aged(patchwork())
    value, first, second, age = weight.detach().double(), *(torch.zeros(12, 5, 3).double() for _ in "mv"), patchwork()
    for step in range(20):
        pushed(optimizer, weight, range(step, step + 1))
        assert weight.grad is not None
        gradient, age = weight.grad.double(), age + 1
        first, second = first.lerp(gradient, 0.5), second.lerp(gradient.square(), 0.1)
        scale = (second / (1 - 0.9 ** age.double())).sqrt() + 1e-8
        value = value * (1 - 1e-3) - 1e-2 * first / (1 - 0.5 ** age.double()) / scale
        assert torch.allclose(weight.detach().double(), value, rtol=1e-5, atol=1e-6)
        assert torch.equal(optimizer.state_of(weight)["step"], age)


@pytest.mark.parametrize("counts", [(1.0, 4.0), (4.0, 0.5)])
@pytest.mark.parametrize("ages", [torch.zeros(12, 5, 3), patchwork()], ids=["plain", "aged"])
def test_a_second_moment_that_remembers_samples(ages: Tensor, counts: tuple[float, float]) -> None:
    """A step can count as several, with beta2 to that power; the bias correction multiplies beta2 over all steps."""
    alike = bool((ages == 0).all())
    optimizer, weight = aged(torch.zeros(()) if alike else ages, 0.98, varied=True)
    before, taken = 40 * [1.0], list[float]()
    value, first, second = weight.detach().double(), torch.zeros(12, 5, 3).double(), torch.zeros(12, 5, 3).double()
    gathered = sum(before) - (sum(before) - ages.double())
    for step, count in enumerate([counts[0]] * 6 + [counts[1]] * 6):
        taken.append(count)
        history = [*before, *taken]
        for group in optimizer.param_groups:
            group["betas"] = (0.5, 0.98**count)
        optimizer.memory = Memory(0.98, lambda steps, history=history: sum(history[len(history) - steps :]))  # type: ignore[misc]
        pushed(optimizer, weight, range(step, step + 1))
        assert weight.grad is not None
        gradient, beta2, gathered = weight.grad.double(), 0.98**count, gathered + count
        first, second = first.lerp(gradient, 0.5), second.lerp(gradient.square(), 1 - beta2)
        scale = (second / (1 - 0.98**gathered)).sqrt() + 1e-8
        value = value * (1 - 1e-3) - 1e-2 * first / (1 - 0.5 ** (ages.double() + step + 1)) / scale
        assert torch.allclose(weight.detach().double(), value, rtol=1e-5, atol=1e-6)


def test_every_step_has_the_memory_of_its_stage() -> None:
    """Both beta2 and the horizon of the average follow the stage; the average starts as the raw weights."""
    plan = toy_image_plan(
        (({"batch": 64}, 2), ({"batch": 8}, 2)),
        batch=BatchResize(beta2="samples"),
        optimizer=attrs.evolve(SLOW, average=3),
    )
    made, betas = machine(plan), list[float]()
    weights = iter([1.0, 2 / (2 + 0.1 * 2), 0.25 / (0.25 + 0.1 * 4), 0.25 / (0.25 + 0.1 * 4.25)])
    for index, stage in enumerate(plan.stages):
        if index:
            switch(made)
        for step in range(stage.first_step, stage.last_step):
            before = {name: value.clone() for name, value in made.body.averages.items()}
            made.step(stage, step, 0.0)
            weight = next(weights)
            for name, value in parameters(made).items():
                assert torch.allclose(made.body.averages[name], before[name].lerp(value.detach(), weight), atol=1e-6)
            (beta2,) = {group["betas"][1] for group in made.body.optimizer.param_groups}
            betas.append(beta2)
    assert betas == pytest.approx([0.999**2] * 2 + [0.999**0.25] * 2)


def test_ages_are_dropped_once_they_no_longer_matter() -> None:
    """At betas (.5, .9) each age is dropped at 66, where .9 ** 66 = .00096."""
    assert lasting(0.5, 0.9) == 66
    optimizer, weight = aged(patchwork())
    for steps, ages in ((58, [58, 65, 98]), (59, [59, 99]), (65, [65, 105]), (66, [106])):
        pushed(optimizer, weight, range(int(optimizer.state[weight]["step"]) - 40, steps))
        assert optimizer.state_of(weight)["step"].unique().tolist() == ages
    assert not optimizer.state_of(weight)["step"].dim()


@pytest.mark.parametrize("at", [10, 58, 59, 60, 66, 70])
def test_a_resume_drops_ages_at_the_same_step(at: int) -> None:
    """Resumes before, between, at and after the drops of ages give the same bits."""
    optimizer, weight = aged(patchwork())
    pushed(optimizer, weight, range(at))
    settings = {"lr": 1e-2, "beta1": 0.5, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.1}
    back = torch.nn.Parameter(weight.detach().clone())
    state = {part: tensor.clone() for part, tensor in optimizer.state_of(weight).items()}
    resumed = adamw({"w": back}, settings, {"w": state}, decays=True)
    for one, its in ((optimizer, weight), (resumed, back)):
        pushed(one, its, range(at, 80))
    assert torch.equal(weight, back)
    (end,) = optimizer_of(Spec("adamw")).states(resumed, members({"w": back})).values()
    assert all(torch.equal(end[part], tensor) for part, tensor in optimizer.state_of(weight).items())


def test_old_tensors_are_freed_during_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tensor is edited, its old weights, average and moments are freed before the next tensor is edited."""
    made = shake(machine(growth("vit", "preserve", 64)))
    kept = made.body.kept()
    old = {
        name: [weakref.ref(tensor.untyped_storage()) for tensor in (value, kept.averages[name], *moments[1:])]
        for name, value in kept.values.items()
        for moments in [tuple(kept.states[name].values())]
    }
    del kept
    assert all(found() is not None for of in old.values() for found in of)
    edited, family = [], surgery._Surgery._family

    def followed(self: Any, names: Sequence[str], *arguments: Any) -> None:
        family(self, names, *arguments)
        edited.extend(names)
        assert not [name for name in edited if any(found() is not None for found in old[name])]

    monkeypatch.setattr(surgery._Surgery, "_family", followed)
    switch(made)
    assert len(edited) > 30


def test_an_edit_that_cannot_be_made_is_refused_and_changes_nothing() -> None:
    made = shake(machine(growth("vit", "preserve", 64)))
    stage, before = made.plan.stages[1], outputs(made)
    assert stage.transition is not None
    for wrong, code in (
        ((Grow("head.weight", (Along("classes", 5, Constant()),)),), "one-way"),
        ((Grow("nobody", (Along("classes", 5, Constant()),)),), "unknown-parameter"),
        (stage.transition.edits[1:], "not-arrived"),
    ):
        transition = attrs.evolve(stage.transition, edits=wrong)
        with pytest.raises(Refused) as caught:
            made.apply(transition, stage)
        assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].place) == (code, "plan")
        assert torch.equal(outputs(made), before)
    switch(made)
    with pytest.raises(Refused, match="unknown-parameter"):
        made.look((View("nobody", "grid", Resize(4, "values")),))
