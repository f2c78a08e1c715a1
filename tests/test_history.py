"""Where two plans part, compared with a look at every step."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan

from shapeflow.ir.decay import Decay
from shapeflow.ir.history import parting
from shapeflow.ir.plan import Plan, Spec, Stage
from shapeflow.ir.rates import factors
from shapeflow.optimizers.adamw import Adamw


def deed(plan: Plan, step: int) -> Any:
    """All that decides one step."""
    index = plan.stage_at(step + 1)
    stage = plan.stages[index]
    blend = stage.blend_at(plan.seed, index, step - stage.first_step)
    switch = stage.transition if step == stage.first_step else None
    effect = switch and (switch.names, switch.edits, switch.moments, switch.average, switch.rewarm)
    taken = (stage.shape, stage.reading) if blend is None else (blend.shape, blend.edits)
    of_run = plan.seed, plan.optimizer.settings["average"]  # type: ignore[union-attr]
    return index, stage.shape, taken, factors(plan, step), stage.memory, stage.batch, stage.sizes, effect, of_run


Deeds = list[Any]


def brute(one: Deeds, other: Deeds) -> int | None:
    """The number of first steps that two plans make alike, by a look at each of them; None if it is all."""
    differ = (step for step, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, None if len(one) == len(other) else min(len(one), len(other)))


def drawn(draw: random.Random) -> Plan:
    """A plan of a small family, so that two of them often begin alike."""
    legs = [({"patch": patch, "width": width}, draw.choice((150, 150, 150, 330))) for patch, width in WAY]
    average, warmup = draw.choice((20, 20, 20, 20, 20, 20, 10)), draw.choice((0, 1, 1, 1, 1, 4))
    decay = draw.choice((None, None, None, "schedule", "cooldown"))
    plan = toy_image_plan(
        legs[: draw.choice((1, 2, 3, 3))],
        optimizer=Adamw(lr=draw.choice((2e-3, 2e-3, 2e-3, 2e-3, 1e-3)), warmup=warmup, average=average),
        seed=draw.choice((0, 0, 0, 0, 1)),
        schedule=Decay(draw.choice(("linear", "cosine")), draw.choice((0.0, 0.1))) if decay == "schedule" else None,
        cooldown=draw.choice((1, 2, 40)) if decay == "cooldown" else None,
    )
    return attrs.evolve(plan, stages=tuple(mixed(stage, draw) for stage in plan.stages))


WAY = ((4, 32), (2, 32), (2, 48))
BLENDS = (
    toy_image_plan([({"patch": 2, "width": 32}, 150), ({"patch": 4, "width": 32}, 1)], preview=0.5).stages[0].blends
)


def mixed(stage: Stage, draw: random.Random) -> Stage:
    """A stage, perhaps with blends of other shares, from or until another step."""
    if draw.random() < 0.5:
        return stage
    first, last = draw.choice((0, 0, 0, 30)), draw.choice((stage.steps, stage.steps, 120))
    share = draw.choice((0.5, 0.5, 0.01, 0.004))
    return attrs.evolve(stage, blends=(attrs.evolve(BLENDS[0], first=first, last=last, share=share),))


def test_the_step_is_that_of_a_look_at_every_step() -> None:
    draw = random.Random(0)
    plans = [drawn(draw) for _ in range(40)]
    deeds = [[deed(plan, step) for step in range(plan.steps)] for plan in plans]
    found = {}
    for _ in range(400):
        a, b = draw.randrange(40), draw.randrange(40)
        one, other = plans[a], plans[b]
        where = parting(one, other)
        assert (None if where is None else where.step) == brute(deeds[a], deeds[b]), where
        back = parting(other, one)
        assert (back and back.step) == (where and where.step)
        found[where and where.what] = where
    assert {"the plan", "stage 1", "the cooldown", "the schedule of the learning rate", "`seed`"} <= found.keys()


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        ({"cooldown": 20}, 41, "the cooldown begins after step 50 in that plan, after step 40 in this one"),
        ({"cooldown": None}, 51, "the cooldown begins after step 50 in that plan, does not begin in this one"),
        (
            {"data": Spec("digits", {"batch": 64})},
            0,
            "the data's setting `batch` is 32 in that plan, 64 in this one",
        ),
        ({"seed": 3}, 0, "`seed` is 0 in that plan, 3 in this one"),
        ({"evaluate": 7, "checkpoint": 3, "metric": "cross_entropy", "notes": ("other",), "name": "x"}, None, ""),
    ],
)
def test_what_differs(change: dict[str, Any], step: int | None, said: str) -> None:
    plan = toy_image_plan([({"width": 32}, 30), ({"width": 48}, 30)], cooldown=10)
    found = parting(plan, attrs.evolve(plan, **change))
    assert (found and found.step) == step
    assert (found.said("that plan", "this one") if found else "") == said


def test_a_switch_differs_after_the_steps_before_it() -> None:
    """A checkpoint at a switch is written before the switch, so it serves a plan with another one."""
    one, other = (toy_image_plan([({"width": 32}, 30), ({"width": 48}, 30)], moments=m) for m in ("fresh", "reset"))
    found = parting(one, other)
    assert found is not None
    assert (found.step, found.what) == (30, "the switch to stage 2: its `moments`")


def test_long_plans_are_compared_by_stretches() -> None:
    """With 10^8 steps, a look at each of them would take minutes."""
    plans = [
        toy_text_plan([({"context": 16}, steps), ({"context": 64}, 10)], preview=share, cooldown=5)
        for steps, share in ((10**8, 1e-4), (10**8 - 1, 1e-4), (10**8, 2e-4), (10**8, 0.0))
    ]
    found = [parting(plans[0], other) for other in plans]
    steps = [None if one is None else one.step for one in found]
    assert steps == [None, 10**8 - 1, *(brute_sparse(plans[0], other) for other in plans[2:])]


def brute_sparse(one: Plan, other: Plan) -> int:
    """The first step that is blended in one plan only, in stages with few blended steps."""
    stages = [plan.stages[0] for plan in (one, other)]
    return next(step for step in range(10**5) if len({stage.blend_at(0, 0, step) is None for stage in stages}) == 2)


def test_a_step_within_a_preview_is_mended_by_its_stage() -> None:
    """No sentence of a plan names a step."""
    legs = [({"patch": 4, "width": 32}, 150), ({"patch": 2, "width": 32}, 100)]
    plan, more = (toy_image_plan(legs, preview=share) for share in (0.2, 0.4))
    longer = toy_image_plan([(legs[0][0], 200), legs[1]], preview=0.2)
    found = [parting(plan, other) for other in (more, longer)]
    assert found[0] is not None
    assert found[0].what.startswith("step ")
    assert [one and one.remedy for one in found] == [
        "write the previews and shares of stage 1 as the plan of the run has them",
        "end stage 1 with `until 150 steps`: a percentage grows with the budget",
    ]
