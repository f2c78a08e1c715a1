"""The learning rate that torch's optimizer gets in each step, also after a resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import torch
from plans import toy_image_plan
from torch import Tensor
from torch_tools import followed, losses, machine, parameters, switch

from shapeflow.base.diagnostics import Refused
from shapeflow.ir import retention
from shapeflow.ir.decay import Decay, Form
from shapeflow.ir.events import Measured, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import save, sealed
from shapeflow.ir.rates import factors
from shapeflow.optimizers.adamw import Adamw
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator
from shapeflow_torch.fork import fork

Moments = Literal["fresh", "carry", "carry_raw", "reset"]
LEGS = (({"batch": 32, "width": 32}, 8), ({"batch": 8, "width": 48}, 16))
"""A switch of width and batch after 8 of 24 steps."""
QUICK = Adamw(lr=2e-3, warmup=4, average=20, beta2=0.999, weight_decay=0.01)


def rated(moments: Moments = "reset", rewarm: int = 5, cooldown: int | None = 8, **fields: Any) -> Plan:
    """A plan with a re-warm-up after its switch, a cooldown, and the rate of matrices scaled by 32 / width."""
    plan = toy_image_plan(LEGS, moments=moments, optimizer=QUICK)
    first, second = plan.stages
    assert second.transition is not None
    grown = attrs.evolve(second, matrix_rate=32 / 48, transition=attrs.evolve(second.transition, rewarm=rewarm))
    return sealed(attrs.evolve(plan, stages=(first, grown), cooldown=cooldown, **fields))


def expected(step: int) -> float:
    """The learning rate of a step, computed by hand."""
    rate = 2e-3 * min(1.0, (step + 1) / 4)
    if step >= 8:
        rate *= math.sqrt(8 / 32) * min(1.0, (step - 7) / 5)
    return rate * (1 - math.sqrt((step - 16) / 8)) if step > 16 else rate


WIDE = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.fc1", "mlp.fc2", "head")


@pytest.mark.parametrize("moments", ["reset", "fresh"])
def test_every_group_has_the_learning_rate_of_the_step(moments: Moments) -> None:
    plan = rated(moments)
    made, steps = machine(plan, taken=False), []
    for event in execute(plan, made):
        if not isinstance(event, StepDone):
            continue
        step, names = event.step - 1, {id(p): name for name, p in parameters(made).items()}
        steps.append(step)
        for group in made.body.optimizer.param_groups:
            for parameter in group["params"]:
                name = names.pop(id(parameter))
                wide = name.endswith(".weight") and any(part in name for part in WIDE)
                own = 32 / 48 if wide and step >= 8 else 1.0
                assert group["lr"] == pytest.approx(expected(step) * own, rel=1e-14), (step, name)
        assert not names, "every parameter is in a group"
    assert steps == list(range(24))


def test_a_plan_without_factors_trains_as_it_did() -> None:
    """The rate is lr * shape * warm-up, multiplied in this order, as before other factors existed, bit for bit."""
    plan = toy_image_plan((({"batch": 8}, 3), ({"batch": 32}, 3)), optimizer=QUICK)
    made = machine(plan, taken=False)
    found = [made.body.optimizer.param_groups[0]["lr"] for event in execute(plan, made) if isinstance(event, StepDone)]
    warm = [min(1.0, (step + 1) / 4) for step in range(6)]
    assert found == [2e-3 * (0.5 if step < 3 else 1.0) * warm[step] for step in range(6)]


def test_matrices_that_read_channels_get_smaller_updates() -> None:
    """The first update of AdamW has the size of the learning rate, whatever the gradient."""
    plan = rated(rewarm=0, cooldown=None)
    made = machine(plan)
    for step in range(8):
        made.step(plan.stages[0], step, 0.0)
    switch(made)
    before = {name: parameter.detach().clone() for name, parameter in parameters(made).items()}
    made.step(plan.stages[1], 8, 0.0)
    moved = {
        name: float((parameter.detach() - before[name]).abs().max()) for name, parameter in parameters(made).items()
    }
    assert moved["blocks.0.mlp.fc1.weight"] == pytest.approx(1e-3 * 32 / 48, rel=1e-2)
    assert moved["patch.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["blocks.0.mlp.fc1.bias"] == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("moments", ["reset", "fresh"])
def test_a_resume_in_a_rewarm_or_a_cooldown_is_the_uninterrupted_run(
    moments: Moments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume gives the same bits, although checkpoints do not store the learning rate."""
    monkeypatch.setattr(retention, "NEWEST", 9)
    plan = rated(moments, checkpoint=5)
    whole, events = followed(plan, tmp_path)
    for step in (10, 20):
        resumed, rest = followed(plan, None, tmp_path / f"step-{step:09d}")
        assert losses(rest) == losses(events)[step:]
        assert state_of(resumed) == state_of(whole)


def state_of(made: object) -> dict[str, bytes]:
    kept = made.body.kept()  # type: ignore[attr-defined]
    states = {f"{name}.{key}": value for name, entry in kept.states.items() for key, value in entry.items()}
    tensors: dict[str, Tensor] = {**kept.values, **states, **{f"average.{n}": v for n, v in kept.averages.items()}}
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_run_is_measured_uncooled_and_cooled() -> None:
    _, events = followed(rated(evaluate=1000))
    assert [event.step for event in events if isinstance(event, Measured)] == [8, 16, 24]


@pytest.mark.parametrize("moments", ["fresh", "carry", "carry_raw", "reset"])
def test_a_switch_before_the_first_step_acts_as_a_reset(moments: Moments) -> None:
    """Without moments every policy acts as `reset`: the first updates are those of a new optimizer."""
    made = machine(rated(moments))
    switch(made)
    dropped = machine(rated("reset"))
    switch(dropped)
    for step in (8, 9, 10):
        assert made.step(made.plan.stages[1], step, 0.0) == dropped.step(dropped.plan.stages[1], step, 0.0)
    for (name, one), two in zip(parameters(made).items(), parameters(dropped).values(), strict=True):
        assert torch.equal(one, two), name


def test_reset_drops_all_state_with_its_step() -> None:
    plan = rated("reset")
    made = machine(plan)
    for step in range(8):
        made.step(plan.stages[0], step, 0.0)
    assert {float(entry["step"]) for entry in made.body.kept().states.values()} == {8.0}
    switch(made)
    assert made.body.kept().states == {}
    made.step(plan.stages[1], 8, 0.0)
    assert {float(entry["step"]) for entry in made.body.kept().states.values()} == {1.0}


@pytest.mark.parametrize("form", ["linear", "cosine"])
def test_a_schedule_has_the_rates_of_torch(form: Form) -> None:
    """After a warm-up of 4 steps, the rates equal those of torch's schedulers over the remaining 20 of 24 steps."""
    plan = rated("fresh", rewarm=0, cooldown=None, schedule=Decay(form, 0.1))
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=1.0)
    theirs: torch.optim.lr_scheduler.LRScheduler
    if form == "linear":
        theirs = torch.optim.lr_scheduler.LinearLR(sgd, start_factor=1.0, end_factor=0.1, total_iters=20)
    else:
        theirs = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=20, eta_min=0.1)
    for step in range(4, 24):
        assert factors(plan, step).schedule == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-12), step
        sgd.step()
        theirs.step()


def test_the_plan_and_torch_agree_on_the_rate_of_every_step() -> None:
    """The rate computed from the plan equals that of the optimizer; the simulator emits the same events."""
    plan = rated("fresh", rewarm=0, cooldown=None, schedule=Decay("cosine", 0.1), evaluate=6)
    made = machine(plan, taken=False)
    events, given = [], []
    for event in execute(plan, made):
        events.append(event)
        if isinstance(event, StepDone):
            given.append({group["lr"] for group in made.body.optimizer.param_groups})
    found = [factors(plan, step) for step in range(24)]
    assert given == [{one.rate, one.matrix_rate} for one in found]
    assert list(execute(plan, Simulator(plan))) == events


def test_a_resume_under_a_schedule_is_the_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "NEWEST", 9)
    plan = rated("fresh", cooldown=None, schedule=Decay("cosine", 0.0), checkpoint=10)
    whole, events = followed(plan, tmp_path)
    resumed, rest = followed(plan, None, tmp_path / "step-000000010")
    assert losses(rest) == losses(events)[10:]
    assert state_of(resumed) == state_of(whole)


def test_a_longer_run_cannot_fork_from_one_with_a_schedule(tmp_path: Path) -> None:
    """A schedule decays over the whole run, so a shorter run has other rates in the same steps."""
    decay = Decay("linear", 0.0)
    plan = rated("fresh", cooldown=None, schedule=decay)
    trunk = sealed(
        attrs.evolve(
            plan,
            stages=plan.stages[:1],
            totals=attrs.evolve(plan.totals, compute=plan.stages[0].leave.compute, steps=8),
        )
    )
    (tmp_path / "trunk").mkdir()
    save(trunk, tmp_path / "trunk" / "plan.json")
    with pytest.raises(Refused) as error:
        fork(tmp_path / "trunk", plan, tmp_path / "fork")
    (one,) = error.value.diagnostics
    assert one.code == "other-history"
    assert one.notes[0].startswith("the schedule of the learning rate is linear to 0 at step 8 in that plan, ")
