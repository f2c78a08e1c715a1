"""The simulator and torch emit the same stream of events for a plan.

Losses, held-out values and seconds are measured, so comparisons ignore them; everything else must be equal.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan
from torch_tools import followed, losses, machine

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.events import (
    CheckpointSaved,
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StageEntered,
    StepDone,
    TransitionApplied,
)
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.plan import Candidate, Plan, Stage
from shapeflow.ir.plan_json import sealed
from shapeflow.running.execute import checkpoint_name, execute
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow_simulator import Simulator

GROWING_CONTEXT = toy_text_plan((({"context": 16}, 7), ({"context": 64}, 5)), preview=0.3, evaluate=4, checkpoint=3)
GROWING_BOTH = toy_text_plan(
    (({"context": 16, "width": 32}, 4), ({"context": 64, "width": 32}, 3), ({"context": 64, "width": 48}, 3)),
    evaluate=5,
    checkpoint=2,
)
FINER_PATCHES = toy_image_plan((({"patch": 4}, 6), ({"patch": 2}, 5)), preview=0.25, evaluate=3, checkpoint=4)
FINER_AND_WIDER = toy_image_plan(
    (({"patch": 4, "width": 32}, 4), ({"patch": 2, "width": 32}, 3), ({"patch": 2, "width": 48}, 4)),
    evaluate=4,
    checkpoint=1,
)
DEEPER = toy_text_plan(
    (({"context": 16, "depth": 2}, 4), ({"context": 64, "depth": 3}, 3), ({"context": 64, "depth": 4}, 3)),
    evaluate=3,
    checkpoint=2,
)
DEEPER_AND_WIDER = toy_image_plan(
    (({"depth": 2, "width": 32}, 3), ({"depth": 4, "width": 48}, 3)), evaluate=2, checkpoint=2
)
LARGER_BATCHES = toy_text_plan(
    (({"batch": 128, "context": 16}, 4), ({"batch": 256, "context": 64}, 3), ({"batch": 64, "context": 64}, 3)),
    evaluate=3,
    checkpoint=2,
)
LARGER_AND_DEEPER = toy_image_plan((({"batch": 8, "depth": 2}, 3), ({"batch": 32, "depth": 3}, 3)), checkpoint=2)
SAME_MEMORY = toy_image_plan(
    (({"batch": 8, "width": 32}, 3), ({"batch": 32, "width": 48}, 3)),
    batch=BatchResize(beta2="samples"),
    evaluate=2,
    checkpoint=2,
)
SHARPER = toy_image_plan(
    (({"patch": 4, "resolution": 8}, 5), ({"patch": 2, "resolution": 4}, 4), ({"patch": 2, "resolution": 8}, 3)),
    preview=0.3,
    evaluate=3,
    checkpoint=2,
    model={"registers": 2},
)
AT_ONCE = toy_image_plan((({"patch": 4, "width": 32}, 3), ({"patch": 2, "width": 48}, 3)), checkpoint=2)

PLANS = {
    "context": GROWING_CONTEXT,
    "context-and-width": GROWING_BOTH,
    "patch": FINER_PATCHES,
    "patch-and-width": FINER_AND_WIDER,
    "patch-and-width-at-once": AT_ONCE,
    "patch-and-resolution": SHARPER,
    "context-and-depth": DEEPER,
    "batch-and-context": LARGER_BATCHES,
    "batch-and-depth-at-once": LARGER_AND_DEEPER,
    "batch-and-width-same-memory": SAME_MEMORY,
    "depth-and-width-at-once": DEEPER_AND_WIDER,
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def simulated(plan: Plan, folder: Path | None = None) -> list[Event]:
    return list(execute(plan, Simulator(plan), folder))


def with_laws(plan: Plan) -> Plan:
    """The plan with a law for each candidate and predicted errors at its stages, so that events have predictions."""
    known = {candidate.shape: law_of(number, plan) for number, candidate in enumerate(plan.candidates)}
    stages: list[Stage] = []
    for stage in plan.stages:
        law, enter = known[stage.shape], attrs.evolve(stage.enter, error=stages[-1].leave.error if stages else None)
        before = 0.0 if enter.error is None else law.compute(enter.error)
        leave = attrs.evolve(stage.leave, error=law.error(before + stage.cost * (stage.steps or 0)))
        stages.append(attrs.evolve(stage, enter=enter, leave=leave))
    candidates = tuple(Candidate(shape, law) for shape, law in known.items())
    return sealed(attrs.evolve(plan, candidates=candidates, stages=tuple(stages)))


def law_of(number: int, plan: Plan) -> Law:
    """A law whose floor is lower than that of the candidate before."""
    return Law(
        a=3.0 + number,
        b=0.2,
        c=0.5 - 0.1 * number,
        d=0.0,
        provenance=Provenance(source="stated", metric=plan.metric, convention=plan.convention),
    )


@plans
def test_the_simulator_emits_the_events_of_torch(plan: Plan, tmp_path: Path) -> None:
    _, trained = followed(plan, tmp_path / "torch")
    assert trained == simulated(plan, tmp_path / "simulator")
    assert {type(event) for event in trained} == {
        RunStarted,
        StageEntered,
        TransitionApplied,
        StepDone,
        Measured,
        CheckpointSaved,
        RunEnded,
    }
    assert all(math.isfinite(event.loss) for event in trained if isinstance(event, StepDone))


def test_predictions_are_part_of_the_stream() -> None:
    plan = with_laws(GROWING_CONTEXT)
    _, trained = followed(plan)
    expected = simulated(plan)
    assert trained == expected
    predicted = [event.predicted for event in trained if isinstance(event, Measured)]
    assert None not in predicted
    assert predicted == sorted(predicted, key=lambda error: -(error or 0.0))
    assert predicted[-1] == plan.stages[-1].leave.error
    told = [event.values["loss@own"] for event in expected if isinstance(event, Measured)]
    assert told == predicted
    assert simulated(sealed(attrs.evolve(plan, seed=1))) != expected


@plans
def test_blends_are_taken_in_the_same_steps(plan: Plan) -> None:
    """Both machines blend in the same steps, and their number is the one in the plan."""
    blended = [
        event
        for event in simulated(plan)
        if isinstance(event, StepDone) and event.shape != plan.stages[event.stage].shape
    ]
    wanted = [
        stage.blend_at(plan.seed, index, step) is not None
        for index, stage in enumerate(plan.stages)
        for step in range(stage.steps or 0)
    ]
    assert len(blended) == sum(wanted)
    assert bool(blended) == any(stage.blends for stage in plan.stages)


@plans
def test_a_resumed_stream_is_the_rest_of_the_whole_one(plan: Plan, tmp_path: Path) -> None:
    """Resumes after the first step, the last step before each switch, the first one after it, and the last but one."""
    every = sealed(attrs.evolve(plan, checkpoint=1))
    switches = [stage.first_step for stage in every.stages[1:]]
    at = sorted({1, *switches, *(switch + 1 for switch in switches), every.steps - 1})
    whole: list[Event] = []
    for event in execute(every, machine(every, taken=False), tmp_path / "all"):
        whole.append(event)
        if isinstance(event, CheckpointSaved) and event.step in at:
            shutil.copytree(tmp_path / "all" / event.name, tmp_path / event.name)
    assert whole == simulated(every, tmp_path / "none")
    for step in at:
        name = checkpoint_name(step)
        rest = whole[1 + whole.index(CheckpointSaved(step, name)) :]
        unsaved: list[Event] = [event for event in rest if not isinstance(event, CheckpointSaved)]
        again, expected = followed(every, None, tmp_path / name)[1], [RunStarted(every.digest, step), *unsaved]
        assert again == expected
        assert losses(again) == losses(expected)


def test_a_finished_machine_takes_no_more_steps(tmp_path: Path) -> None:
    plan = FINER_AND_WIDER
    _, whole = followed(plan, tmp_path)
    again = followed(plan, tmp_path, tmp_path / checkpoint_name(plan.steps))[1]
    assert again == [RunStarted(plan.digest, plan.steps), whole[-1]]


@plans
def test_until_ends_both_early(plan: Plan, tmp_path: Path) -> None:
    """Both runs end at the first measurement, since every value meets the target; the last event is a checkpoint."""
    plan = with_laws(plan)
    whole = simulated(plan)
    first = next(event.step for event in whole if isinstance(event, Measured))
    goal = (plan.metric, math.inf)
    trained = list(execute(plan, machine(plan, taken=False), tmp_path / "torch", until=goal))
    assert trained[-2:] == [
        CheckpointSaved(first, checkpoint_name(first)),
        RunEnded(first, plan.compute_at(first), False),
    ]
    assert list(execute(plan, Simulator(plan), tmp_path / "none", until=goal)) == trained
    assert list(execute(plan, Simulator(plan), until=(plan.metric, -1.0))) == whole


def test_a_simulation_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        next(execute(AT_ONCE, Simulator(AT_ONCE), None, tmp_path))
    assert caught.value.diagnostics[0].code == "no-checkpoint"
