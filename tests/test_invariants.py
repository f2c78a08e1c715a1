"""Invariants of every transition on torch modules: functions, averages, moments, gradients of new entries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import torch
from plans import Leg, in_order, toy_image_plan, toy_text_plan
from sources import compiled
from torch import Tensor
from torch_tools import (
    adamw,
    averaged,
    disturb,
    empty_state,
    followed,
    gradients,
    losses,
    machine,
    outputs,
    parameters,
    relative,
    shake,
    switch,
)

from shapeflow.api import simulate
from shapeflow.ir import retention
from shapeflow.ir.edits import Edit, Grow, Normal, Scale
from shapeflow.ir.events import CheckpointSaved
from shapeflow.ir.plan import Plan, Spec, Transition
from shapeflow.ir.replay import first_ledger
from shapeflow.optimizers.adamw import Adamw
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.optimizers import optimizer_of
from shapeflow_torch.surgery import Kept, operate

Init = Literal["normal", "preserve", "net2net"]
SLOW = Adamw(lr=2e-3, warmup=0, beta2=0.999, average=20)
MODELS: Mapping[str, Mapping[str, Any]] = {"tied": {}, "untied": {"tied": False}, "shared": {"kv_ratio": 2}}


def plan_of(kind: str, legs: Sequence[Leg], **settings: Any) -> Plan:
    if kind == "vit":
        return toy_image_plan(legs, optimizer=SLOW, **settings)
    return toy_text_plan(legs, optimizer=SLOW, model=MODELS[kind], **settings)


def wider(kind: str, to: int, init: Init = "preserve", **settings: Any) -> Plan:
    return plan_of(kind, (({"width": 32}, 6), ({"width": to}, 6)), init=init, **settings)


def edited(plan: Plan, edits: Sequence[Edit]) -> Plan:
    """The plan with the edits of its switch replaced."""
    first, second = plan.stages
    assert second.transition is not None
    changed = attrs.evolve(second.transition, edits=tuple(edits))
    return attrs.evolve(plan, stages=(first, attrs.evolve(second, transition=changed)))


def edits_of(plan: Plan) -> tuple[Edit, ...]:
    assert plan.stages[1].transition is not None
    return plan.stages[1].transition.edits


def new_entries(made: TorchMachine, old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each tensor, a mask of the entries outside the old block."""
    found = {}
    for name, parameter in parameters(made).items():
        found[name] = torch.ones(parameter.shape, dtype=torch.bool)
        found[name][tuple(slice(0, size) for size in old[name].shape)] = False
    return found


def values(made: TorchMachine) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters(made).items()}


# width


@pytest.mark.parametrize("init", ["preserve", "net2net"])
@pytest.mark.parametrize(
    ("kind", "to"),
    [("vit", 40), ("vit", 48), ("vit", 96), ("tied", 40), ("tied", 72), ("untied", 56), ("shared", 48), ("shared", 80)],
)
def test_any_width_keeps_the_function(kind: str, to: int, init: Init) -> None:
    """The new width need not be a multiple of the old width of 32, only of the head width of 8."""
    made = disturb(machine(wider(kind, to, init), torch.float64))
    before, average = outputs(made), averaged(made)
    switch(made)
    assert relative(outputs(made), before) < 1e-12
    assert relative(averaged(made), average) < 1e-12


@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_the_norms_eps_must_follow_the_width(kind: str) -> None:
    """If eps does not follow, the function changes by more than the rounding of float32."""
    plan = wider(kind, 64)
    made = disturb(machine(edited(plan, [e for e in edits_of(plan) if not isinstance(e, Scale)]), torch.float64))
    before = outputs(made)
    switch(made)
    assert 1e-9 < relative(outputs(made), before) < 1e-4


@pytest.mark.parametrize("gamma", [0.25, 1.0, 1.5])
@pytest.mark.parametrize("kind", ["vit", "untied"])
def test_new_entries_of_every_matrix_have_the_stated_mean_square(kind: str, gamma: float) -> None:
    """In each tensor, mean(new^2) / (gamma mean(old^2)) is within 1 +- 3 sqrt(2 / entries)."""
    plan = wider(kind, 64, "normal")
    along = [
        attrs.evolve(g, along=tuple(attrs.evolve(a, fill=Normal(gamma)) for a in g.along))
        if isinstance(g, Grow) and any(isinstance(a.fill, Normal) for a in g.along)
        else g
        for g in edits_of(plan)
    ]
    made = shake(machine(edited(plan, along)))
    old = values(made)
    switch(made)
    for name, new in new_entries(made, old).items():
        if made.ledger.table[re.sub(r"blocks\.\d+", "blocks.{depth}", name)].role == "matrix":
            ratio = float(parameters(made)[name].detach()[new].square().mean() / (gamma * old[name].square().mean()))
            assert ratio == pytest.approx(1, abs=3 * (2 / int(new.sum())) ** 0.5), name


@pytest.mark.parametrize("init", ["normal", "preserve", "net2net"])
@pytest.mark.parametrize("kind", ["vit", "tied", "untied", "shared"])
def test_everything_new_learns_by_the_second_step(kind: str, init: Init) -> None:
    """All new entries have a gradient in the second step. Under `preserve`, less than half have one in the first."""
    made = shake(machine(wider(kind, 64, init)))
    old = values(made)
    switch(made)
    first = _with_gradient(made, old, 1e-5)
    made.step(made.plan.stages[1], 6, 0.0)
    second = _with_gradient(made, old)
    if init == "preserve":
        assert 0.2 < first < 0.5, first
    assert second == 1


def _with_gradient(made: TorchMachine, old: Mapping[str, Tensor], rounding: float = 0.0) -> float:
    """The share of new entries whose gradient is greater than `rounding` times the largest in their tensor."""
    gradients(made)
    have = count = 0
    for name, new in new_entries(made, old).items():
        gradient = parameters(made)[name].grad
        assert gradient is not None
        if name.endswith("k.bias"):
            continue  # it adds the same number to all scores of a query, which softmax ignores
        if name == "embed.weight":
            read = gradient[:, :32].any(1)  # bytes that are not in the samples have no gradient
            new, gradient = new[read], gradient[read]
        have, count = have + int((gradient[new].abs() > rounding * gradient.abs().max()).sum()), count + int(new.sum())
    made.body.optimizer.zero_grad()
    return have / count


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_without_noise_new_entries_never_learn_under_rms_norm(kind: str) -> None:
    """This is why `gamma: 0` is refused."""
    plan = wider(kind, 64)
    still = [
        attrs.evolve(
            e,
            along=tuple(attrs.evolve(a, fill=Normal(0.0)) if isinstance(a.fill, Normal) else a for a in e.along),
        )
        if isinstance(e, Grow)
        else e
        for e in edits_of(plan)
    ]
    made = shake(machine(edited(plan, still)))
    old = values(made)
    switch(made)
    for step in range(6, 10):
        gradients(made)
        for name, new in new_entries(made, old).items():
            gradient = parameters(made)[name].grad
            assert gradient is not None
            if "norm" not in name:
                assert not gradient[new].any(), name
        made.body.optimizer.zero_grad()
        made.step(plan.stages[1], step, 0.0)


@pytest.mark.parametrize("kind", ["vit", "tied", "untied"])
def test_gradients_of_norms_grow_by_the_root_of_the_widths(kind: str) -> None:
    """Gradients of norms grow by sqrt(64 / 32) = 1.4142; gradients of matrices that read channels do not change."""
    made = disturb(machine(wider(kind, 64), torch.float64))
    gradients(made)
    before = {name: parameter.grad for name, parameter in parameters(made).items()}
    switch(made)
    gradients(made)
    for name, gradient in before.items():
        found = parameters(made)[name].grad
        assert found is not None
        assert gradient is not None
        corner = found[tuple(slice(0, size) for size in gradient.shape)]
        if name.endswith(("norm1.weight", "norm2.weight", "norm.weight")):
            assert relative(corner, 2**0.5 * gradient) < 1e-10, name
        elif kind != "vit" or name.endswith(("q.weight", "v.weight", "fc1.weight", "head.weight")):
            assert relative(corner, gradient) < 1e-10, name


@pytest.mark.parametrize(("share", "ratio"), [(0.3, 0.3 / 0.7), (0.5, 1.0)])
@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_copies_share_the_gradient_as_the_outgoing_weights(kind: str, share: float, ratio: float) -> None:
    """With a share of 0.5 both copies would stay equal forever, so the share is 0.3: a ratio of 0.3 / 0.7 = 0.4286."""
    plan = wider(kind, 64, "net2net")
    shared = [_shared(edit, share) if isinstance(edit, Grow) else edit for edit in edits_of(plan)]
    assert (shared == list(edits_of(plan))) == (share == 0.3)
    made = disturb(machine(edited(plan, shared), torch.float64))
    switch(made)
    gradients(made)
    for name, parameter in parameters(made).items():
        if name.endswith(("q.weight", "v.weight", "fc1.weight", "gate.weight", "up.weight")):
            assert parameter.grad is not None
            one, two = parameter.grad.chunk(2)
            assert relative(one, ratio * two) < 1e-10, name


def _shared(grow: Grow, share: float) -> Grow:
    """The same growth, with `share` as the share of the first of two copies."""
    along = []
    for each in grow.along:
        fill = each.fill
        for part in ("values", "gradients"):
            if getattr(fill, part, None) is not None:
                fill = attrs.evolve(fill, **{part: share})
        along.append(attrs.evolve(each, fill=fill))
    return attrs.evolve(grow, along=tuple(along))


@pytest.mark.parametrize("kind", ["tied", "shared"])
def test_a_tied_embedding_stays_one_tensor(kind: str) -> None:
    made = shake(machine(wider(kind, 64)))
    switch(made)
    assert made.body.net.head.weight is made.body.net.embed.weight  # type: ignore[union-attr]
    assert "head.weight" not in parameters(made)


@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_free_entries_are_the_same_numbers_in_the_average(kind: str) -> None:
    made = shake(machine(wider(kind, 64)))
    old = values(made)
    switch(made)
    free = [name for name in old if name.endswith(("q.weight", "fc1.weight", "up.weight"))]
    for name in free:
        new = new_entries(made, old)[name]
        assert torch.equal(made.body.averages[name][new], parameters(made)[name].detach()[new])
        assert not torch.equal(made.body.averages[name][~new], parameters(made)[name].detach()[~new])


def test_two_growths_leave_three_ages_in_one_tensor() -> None:
    legs = (({"width": 32}, 4), ({"width": 40}, 3), ({"width": 64}, 3))
    made = shake(machine(plan_of("vit", legs)))
    for stage in made.plan.stages[1:]:
        before, average = outputs(made), averaged(made)
        assert stage.transition is not None
        made.apply(stage.transition, stage)
        assert relative(outputs(made), before) < 1e-5
        assert relative(averaged(made), average) < 1e-5
        for step in range(stage.first_step, stage.last_step):
            made.step(stage, step, 0.0)
    age = made.body.kept().states["blocks.0.attn.q.weight"]["step"]
    assert (float(age[0, 0]), float(age[39, 39]), float(age[63, 63])) == (10, 6, 3)
    assert float(age[0, 39]) == 6
    assert float(age[39, 63]) == 3


# the optimizer's state


@pytest.mark.parametrize("moments", ["fresh", "carry", "carry_raw", "reset"])
def test_a_switch_before_the_first_step(moments: Literal["fresh", "carry", "carry_raw", "reset"]) -> None:
    """There is no optimizer state to carry yet, so all entries have age 0."""
    made = machine(wider("vit", 64, moments=moments))
    switch(made)
    for state in made.body.kept().states.values():
        assert not state["step"].any()
        assert not state["exp_avg"].any()
        assert not state["exp_avg_sq"].any()
    made.step(made.plan.stages[1], 6, 0.0)
    assert all(value.isfinite().all() for value in made.body.kept().values.values())


def test_a_reset_leaves_no_state() -> None:
    made = shake(machine(wider("tied", 64, moments="reset")))
    switch(made)
    assert made.body.kept().states == {}


def test_a_reset_without_growth_leaves_no_state() -> None:
    plan = toy_image_plan()
    assert plan.stages[1].transition is not None
    transition = attrs.evolve(plan.stages[1].transition, moments="reset")
    made = shake(machine(plan))
    before = values(made)
    made.apply(transition, plan.stages[1])
    assert made.body.kept().states == {}
    assert all(torch.equal(before[name], value) for name, value in values(made).items())
    made.step(plan.stages[1], 6, 0.0)
    assert all(float(state["step"]) == 1 for state in made.body.kept().states.values())


def test_moments_of_other_sizes_are_not_taken() -> None:
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    with pytest.raises(ValueError, match=r"`exp_avg` of w has sizes \(4, 4\)"):
        adamw({"w": torch.nn.Parameter(torch.ones(6, 6))}, settings, {"w": empty_state(torch.ones(4, 4))})


# views and depth


def test_another_patch_size_keeps_moments_and_starts_a_new_average() -> None:
    made = shake(machine(toy_image_plan()))
    states = {name: {k: t.clone() for k, t in s.items()} for name, s in made.body.kept().states.items()}
    assert made.average_age == 4
    switch(made)
    kept = made.body.kept()
    assert all(torch.equal(kept.states[n][k], states[n][k]) for n in states for k in states[n])
    assert all(torch.equal(kept.averages[name], value) for name, value in kept.values.items())
    assert made.average_age == 0


def test_a_longer_context_keeps_moments_and_average() -> None:
    made = shake(machine(toy_text_plan()))
    states = {name: {k: t.clone() for k, t in s.items()} for name, s in made.body.kept().states.items()}
    averages = {name: value.clone() for name, value in made.body.averages.items()}
    switch(made)
    kept = made.body.kept()
    assert all(torch.equal(kept.states[n][k], states[n][k]) for n in states for k in states[n])
    assert all(torch.equal(kept.averages[name], value) for name, value in averages.items())
    assert made.average_age == 4


@pytest.mark.parametrize("kind", ["vit", "tied"])
def test_fresh_blocks_begin_as_their_own_average(kind: str) -> None:
    legs = (({"depth": 2}, 6), ({"depth": 3}, 6))
    made = shake(machine(plan_of(kind, legs, depth=DepthExpand(init="zero"))))
    switch(made)
    for name, parameter in parameters(made).items():
        assert torch.equal(made.body.averages[name], parameter.detach()) == ("blocks.2." in name)


# several at one switch


BEFORE: Mapping[str, int | str] = {"depth": 2, "width": 32, "batch": 16, "loss": "cross_entropy"}
AFTER: Mapping[str, int | str] = {"depth": 4, "width": 48, "batch": 32, "loss": "smooth"}
EVERYTHING: Mapping[str, tuple[str, Mapping[str, int | str], Mapping[str, int | str]]] = {
    "patch": ("vit", {**BEFORE, "patch": 4}, {**AFTER, "patch": 2}),
    "resolution": ("vit", {**BEFORE, "resolution": 4}, {**AFTER, "resolution": 8}),
    "patch and resolution": (
        "vit",
        {**BEFORE, "patch": 2, "resolution": 4},
        {**AFTER, "patch": 4, "resolution": 8},
    ),
    "context": (
        "tied",
        {"depth": 2, "width": 32, "context": 16, "batch": 256, "loss": "next_token"},
        {"depth": 3, "width": 48, "context": 64, "batch": 512, "loss": "denoising"},
    ),
}


@pytest.mark.parametrize("axes", EVERYTHING)
def test_all_axes_at_one_switch_equal_single_switches_in_order(axes: str) -> None:
    """One switch on all axes equals single switches in the fixed order, bit for bit: weights, optimizer, average."""
    kind, before, after = EVERYTHING[axes]
    made = shake(machine(plan_of(kind, ((before, 6), (after, 6)))))
    here, parts = dict(before), []
    for axis in in_order(after):
        there = {**here, axis: after[axis]}
        parts.append(edits_of(plan_of(kind, ((here, 6), (there, 6)))))
        here = there
    in_turn = tuple(edit for part in parts for edit in part)
    # Patch and resolution share one view of the grid, which appears once.
    assert (edits_of(made.plan) == in_turn) == (axes != "patch and resolution")
    average: Literal["map", "restart"] = "map" if kind == "tied" else "restart"
    at_once, ledger = _operated(made, [edits_of(made.plan)], average)
    in_a_row, same = _operated(made, parts, average)
    assert ledger == same
    assert _same(at_once, in_a_row)
    switch(made)
    assert _same(made.body.kept(), at_once)
    made.step(made.plan.stages[1], 6, 0.0)


FIVE = """
let smooth = cross_entropy(label_smoothing: 20%)
model vit(head_width: 8)
data digits(batch: 16)
optimizer adamw(warmup: 2 steps, beta2: 0.999)
axis loss in [cross_entropy, smooth] via loss_switch
axis batch in [16, 32] via batch_resize
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 0%)
axis width in [16, 24] via width_expand
axis depth in [2, 3] via depth_expand
stage (loss: cross_entropy, batch: 16, patch: 4 px, width: 16, depth: 2) until 4 steps
stage (loss: smooth, batch: 32, patch: 2 px, width: 24, depth: 3) until end
budget 8 steps
checkpoint every 2 steps
"""


def test_five_axes_at_one_switch(tmp_path: Path) -> None:
    """The plan compiles, simulates and trains; resuming after the switch gives the same final bits."""
    plan = compiled(tmp_path, FIVE)
    (_, second) = plan.stages
    assert second.arrives_by == "depth_expand + width_expand + flexi_resize + batch_resize + loss_switch"
    made, events = followed(plan, tmp_path)
    assert list(simulate(plan)) == [event for event in events if not isinstance(event, CheckpointSaved)]
    assert (made.objective, made.ledger.slots["batch"], made.ledger.slots["patch"]) == ("smooth", 32, 2)
    shape = made.body.kept().values["blocks.2.mlp.fc1.weight"].shape
    assert tuple(shape) == (96, 24)
    resumed, _ = followed(plan, None, tmp_path / "step-000000006")
    assert _same(made.body.kept(), resumed.body.kept())


FIVE_OF_TEXT = """
let ul = denoising(sentinels: 12, prefix: full)
model transformer(head_width: 8, kv_ratio: 2)
data python_source(batch: 256 tokens)
optimizer adamw(warmup: 2 steps, beta2: 0.999)
axis loss in [next_token, ul] via loss_switch
axis batch in [256, 512] tokens via batch_resize
axis context in [16, 64] tokens via context_grow(preview: 0%)
axis width in [16, 32] via width_expand
axis depth in [2, 3] via depth_expand
stage (loss: next_token, batch: 256 tokens, context: 16 tokens, width: 16, depth: 2) until 4 steps
stage (loss: ul, batch: 512 tokens, context: 64 tokens, width: 32, depth: 3) until end
budget 8 steps
checkpoint every 2 steps
"""


def test_five_axes_of_a_language_model_at_one_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan compiles, simulates and trains; resuming before, at or after the switch gives the same final bits."""
    monkeypatch.setattr(retention, "NEWEST", 9)
    plan = compiled(tmp_path, FIVE_OF_TEXT)
    (_, second) = plan.stages
    assert second.arrives_by == "depth_expand + width_expand + batch_resize + context_grow + loss_switch"
    made, events = followed(plan, tmp_path)
    assert list(simulate(plan)) == [event for event in events if not isinstance(event, CheckpointSaved)]
    assert (made.objective, made.ledger.slots["batch"], made.context) == ("ul", 512, 64)
    assert tuple(made.body.kept().values["blocks.2.attn.k.weight"].shape) == (16, 32)
    for step in (2, 4, 6):
        resumed, rest = followed(plan, None, tmp_path / f"step-{step:09d}")
        assert losses(rest) == losses(events)[step:]
        assert _same(made.body.kept(), resumed.body.kept())


@pytest.mark.parametrize("growth", [{"width": 48}, {"depth": 4}, {"depth": 4, "width": 48}])
def test_a_patch_size_commutes_with_growth(growth: Mapping[str, int]) -> None:
    before = {"depth": 2, "width": 32, "patch": 4}
    made = shake(machine(plan_of("vit", ((before, 6), ({**before, **growth, "patch": 2}, 6)))))
    grown = edits_of(plan_of("vit", ((before, 6), ({**before, **growth}, 6))))
    seen = edits_of(plan_of("vit", ((before, 6), ({**before, "patch": 2}, 6))))
    one, two = _operated(made, [grown, seen]), _operated(made, [seen, grown])
    assert one[1] == two[1]
    assert _same(one[0], two[0])


def _operated(
    made: TorchMachine, parts: Sequence[Sequence[Edit]], average: Literal["map", "restart"] = "map"
) -> tuple[Kept, object]:
    """A copy of the machine after several transitions applied as one switch, and its ledger."""
    kept, ledger = made.body.kept(), first_ledger(made.plan)
    for edits in parts:
        transition = Transition(("by_hand",), tuple(edits), "fresh", average, "lossy", 1.0)
        operate(
            kept, ledger, transition, made.plan.apart, made.plan.seed, 0, optimizer_of(Spec("adamw", {"beta2": 0.999}))
        )
    return kept, ledger


def _same(one: Kept, two: Kept) -> bool:
    alike = one.values.keys() == two.values.keys() == one.averages.keys() == two.averages.keys()
    alike = alike and one.states.keys() == two.states.keys()
    alike = alike and all(torch.equal(one.values[name], value) for name, value in two.values.items())
    alike = alike and all(torch.equal(one.averages[name], value) for name, value in two.averages.items())
    return alike and all(torch.equal(one.states[n][k], two.states[n][k]) for n in two.states for k in two.states[n])
