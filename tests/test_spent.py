"""The time of a run against that of its profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest
from rich.console import Console
from sources import compiled
from test_seconds import COARSE, FINE, PLANNED, screen, timed

from shapeflow.base.shapes import Shape
from shapeflow.ir.events import Evaluation, Event, Measured, RunStarted, StageEntered, StepDone
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.preview.comparison import comparison_details
from shapeflow.preview.live import Live
from shapeflow.preview.numbers import duration
from shapeflow.preview.run import run_view
from shapeflow.preview.spent import spent_lines
from shapeflow.running.execute import execute
from shapeflow.running.rivals import Compared, Result
from shapeflow.running.runs import Run
from shapeflow.running.spent import LEAST, WARM, planned_seconds, spent
from shapeflow_simulator import Simulator


def plan_of(folder: Path, *sentences: str) -> Plan:
    plan = compiled(folder, timed(folder, PLANNED, {FINE: 3.0}), *sentences)
    assert [stage.shape for stage in plan.stages] == [COARSE, FINE]
    return plan


def events(plan: Plan, slower: Mapping[Shape, float], steps: int = 40) -> Iterator[Event]:
    """The log of a run whose steps take their time by the profile, times a factor. Only some steps are logged; those
    after a start or a switch take ten times as long."""
    pace = {one.shape: one.step_seconds or 0.0 for one in plan.candidates}
    total = 0.0
    yield RunStarted(plan.digest, 0)
    for index, stage in enumerate(plan.stages):
        yield StageEntered(index, stage.shape, stage.first_step, 0.0)
        own = pace[stage.shape] * slower.get(stage.shape, 1.0)
        logged = range(stage.first_step + 1, stage.last_step + 1, max(1, (stage.steps or 0) // steps))
        for number, step in enumerate(logged):
            yield StepDone(step, index, stage.shape, 0.0, 1.0, own * (10 if number < WARM else 1))
        total += own * (stage.steps or 0)
        yield Measured(stage.last_step, index, stage.shape, 1.0, None, {"classification_error": 0.5}, total)


def run_of(plan: Plan, slower: Mapping[Shape, float], steps: int = 40) -> Run:
    return Run(Path("r"), plan, tuple(events(plan, slower, steps)))


def test_the_planned_seconds_are_those_of_the_stages(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    first, last = plan.stages
    assert planned_seconds(plan, 0) == 0
    assert planned_seconds(plan, first.last_step) == pytest.approx(first.leave.seconds)
    assert planned_seconds(plan, plan.steps) == pytest.approx(plan.totals.seconds)
    (pace,) = (one.step_seconds for one in plan.candidates if one.shape == FINE)
    assert pace is not None
    assert first.leave.seconds is not None
    assert planned_seconds(plan, first.last_step + 5) == pytest.approx(first.leave.seconds + 5 * pace)
    assert last.last_step == plan.steps


def test_the_time_of_a_run_includes_its_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the seconds that a profile predicts do. A step takes 1 s here, a switch 7 s, and an evaluation 100 s."""
    now = [0.0]
    monkeypatch.setattr("shapeflow.running.execute.time.perf_counter", lambda: now[0])

    class Slow(Simulator):
        def apply(self, transition: Transition, stage: Stage) -> None:
            super().apply(transition, stage)
            now[0] += 7

        def step(self, stage: Stage, step: int, compute: float) -> float:
            now[0] += 1
            return super().step(stage, step, compute)

        def measure(self, stage: Stage) -> Evaluation:
            now[0] += 100
            return super().measure(stage)

    plan = plan_of(tmp_path, "evaluate every 25%")
    run = Run(tmp_path, plan, tuple(execute(plan, Slow(plan))))
    assert len(plan.stages) == 2
    assert run.trained == plan.steps + 7
    assert run.evaluated == 100 * len(run.measured)


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.05, 1.3])
def test_a_profile_that_is_off_is_named_by_its_shape(factor: float, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    found = spent(run_of(plan, {FINE: factor}))
    assert found is not None
    assert [one.shape for one in found.off] == ([] if 0.9 < factor < 1.1 else [FINE])
    for one in found.off:
        assert one.measured == pytest.approx(factor * one.profile)
    last = plan.stages[-1]
    assert last.leave.seconds is not None
    assert last.enter.seconds is not None
    later = last.leave.seconds - last.enter.seconds
    assert found.measured - found.planned == pytest.approx((factor - 1) * later)


def test_few_steps_say_nothing_of_a_profile(tmp_path: Path) -> None:
    found = spent(run_of(plan_of(tmp_path), {FINE: 2.0}, steps=WARM + LEAST - 2))
    assert found is not None
    assert not found.off


def test_the_screen_says_what_was_spent(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "minimise dollars(price: 36)", "budget 20 dollars")
    said = " ".join(screen(run_view(run_of(plan, {COARSE: 1.5, FINE: 1.5}))).split())
    assert "training took 50% longer than the" in said
    assert "dollars predicted" in said
    for patch in (4, 2):
        assert f"the profile is off: a step in (patch: {patch} px) takes" in said
    assert "`shapeflow profile`" in said


@pytest.mark.parametrize("devices", [1, 4])
def test_the_cost_is_that_of_the_devices_of_the_run(devices: int, tmp_path: Path) -> None:
    """The profile is of one device, and the steps take half of its time."""
    plan = plan_of(tmp_path, "minimise dollars(price: 36)", "budget 20 dollars")
    run = run_of(plan, {COARSE: 0.5, FINE: 0.5})
    started = RunStarted(plan.digest, 0, device="a GPU", devices=devices)
    found = next(spent_lines(attrs.evolve(run, events=(started, *run.events[1:]))))
    assert plan.totals.seconds is not None
    predicted = plan.totals.seconds / 100
    assert found.endswith(f"; {devices * predicted / 2:.4g} dollars, {predicted:.4g} dollars predicted")


@pytest.mark.parametrize("devices", [1, 4])
def test_a_profile_of_other_processes_says_how_many(devices: int, tmp_path: Path) -> None:
    run = run_of(plan_of(tmp_path), {COARSE: 2.0, FINE: 2.0})
    assert run.plan.timed_by is not None
    plan = attrs.evolve(run.plan, timed_by=attrs.evolve(run.plan.timed_by, devices=devices))
    started = RunStarted(plan.digest, 0, device="a GPU", devices=2)
    said = " ".join(spent_lines(attrs.evolve(run, plan=plan, events=(started, *run.events[1:]))))
    count = "1 process" if devices == 1 else "4 processes"
    assert f"the profile is of {count}, and the run had 2" in said


def test_without_a_profile_nothing_was_planned(tmp_path: Path) -> None:
    plan = compiled(tmp_path, PLANNED)
    assert planned_seconds(plan, 1) is None
    assert spent(Run(Path("r"), plan, tuple(events(plan, {})))) is None
    assert spent(attrs.evolve(run_of(plan_of(tmp_path), {}), events=())) is None


@pytest.mark.parametrize(("factor", "said"), [(1.5, "50% longer"), (0.5, "50% less"), (1.05, "")])
def test_a_running_run_says_once_that_its_profile_is_off(factor: float, said: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    out = Console(width=200, no_color=True)
    shown = Live(plan, out)
    with out.capture() as captured:
        for event in events(plan, {COARSE: factor, FINE: factor}):
            shown.listen(event)
    lines = captured.get().splitlines()
    first = plan.stages[0].leave.seconds
    assert first is not None
    assert any(
        line.endswith(f"{duration(first * factor, 3)} of training, {duration(first, 3)} planned") for line in lines
    )
    off = [line for line in lines if "than the profile predicts" in line]
    assert off == ([f"  training takes {said} than the profile predicts"] if said else [])


def test_a_resumed_run_counts_its_own_time(tmp_path: Path) -> None:
    """The seconds of its measurements begin at zero."""
    plan = plan_of(tmp_path)
    out = Console(width=200, no_color=True)
    shown, (first, last) = Live(plan, out), plan.stages
    took = (last.leave.seconds or 0.0) - (first.leave.seconds or 0.0)
    with out.capture() as captured:
        shown.listen(RunStarted(plan.digest, first.last_step))
        shown.listen(Measured(plan.steps, 1, last.shape, 1.0, None, {"classification_error": 0.5}, took))
    since = f" since step {first.last_step:,}".replace(",", " ")
    assert f"{duration(took, 3)} of training{since}, {duration(took, 3)} planned" in captured.get()
    assert "than the profile predicts" not in captured.get()


@pytest.mark.parametrize(("factor", "off"), [(1.0, "+0.0%"), (1.2, "+20.0%")])
def test_a_comparison_sets_the_time_of_the_whole_plan_against_its_profile(
    factor: float, off: str, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path)
    run = run_of(plan, {COARSE: factor, FINE: factor})
    result = Result("plan", "the plan", (1.0,), (1.0,), (0.5,), runs=("folder/r",))
    found = Compared(plan.metric, 0.5, (0,), (result, result), None, (), (), {Path("folder/r"): run})
    shown = " ".join(screen(comparison_details(found, plan)).split())
    planned = duration(plan.totals.seconds or 0.0, 3)
    assert f"all steps of the plan: {planned} by the profile, " in shown
    assert f"by these times per step ({off}), " in shown
    ended_early = attrs.evolve(run, events=run.events[:-1])
    early = attrs.evolve(found, runs={Path("folder/r"): ended_early})
    assert "all steps of the plan" not in screen(comparison_details(early, plan))
