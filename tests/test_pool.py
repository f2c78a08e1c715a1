"""Pools of concurrent runs, and the comparison of their results."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from plans import toy_text_plan

from shapeflow.base.diagnostics import Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.events import Measured, RunEnded, RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import save, sealed
from shapeflow.running.pool import Job, Pool, _Running
from shapeflow.running.rivals import Entry, results, seconds_to, step_times
from shapeflow.running.runs import Run

SHORT, LONG = Shape.of(context=8), Shape.of(context=16)


def run_of(plan: Plan, folder: Path, seconds: tuple[float, float], values: tuple[float, ...]) -> Run:
    """A run whose steps alternate between two shapes, measured after every second step."""
    events: list[object] = [RunStarted(plan.digest, 0)]
    for number, value in enumerate(values, 1):
        for half, shape in enumerate((SHORT, LONG)):
            step = 2 * number - 1 + half
            events.append(StepDone(step, 0, shape, 10.0 * step, 1.0, seconds[half]))
        events.append(Measured(2 * number, 0, SHORT, 20.0 * number, None, {"loss@longest": value}, 99.0))
    events.append(RunEnded(2 * len(values), 20.0 * len(values), True))
    return Run(folder, plan, tuple(events))  # type: ignore[arg-type]


def test_seconds_are_those_of_undisturbed_steps() -> None:
    plan = toy_text_plan()
    quiet = run_of(plan, Path("a"), (1.0, 3.0), (3.0, 2.0))
    busy = run_of(plan, Path("b"), (5.0, 9.0), (3.0, 2.0))
    times = step_times([quiet, busy])
    assert times == {SHORT: 1.0, LONG: 3.0}
    assert seconds_to(busy, 40.0, times) == pytest.approx(8.0)
    assert seconds_to(busy, 20.0, times) == pytest.approx(4.0)


def test_rivals_are_compared_at_the_same_times_per_step() -> None:
    plan = toy_text_plan()
    runs = {
        Path(name): run_of(plan, Path(name), (pace, 3 * pace), (3.0, 2.0)) for name, pace in (("a", 1.0), ("b", 7.0))
    }
    ways = [Entry(name, name, (Job(name, plan, Path(name)),)) for name in ("a", "b")]
    ours, theirs = results(ways, runs, "loss@longest", 2.0)
    assert ours.compute == theirs.compute == (40.0,)
    assert ours.seconds == theirs.seconds == (pytest.approx(8.0),)
    assert theirs.savings(ours) == (0.0,)


@attrs.define
class Gone:
    """A process that exited with status 0."""

    returncode: int = 0


def test_a_run_that_was_stopped_is_not_finished(tmp_path: Path) -> None:
    plan = sealed(toy_text_plan())
    save(plan, tmp_path / "plan.json")
    said = (tmp_path / "said").open("w+b")
    with pytest.raises(Refused) as refused:
        _Running(Job("the plan", plan, tmp_path), Gone(), said).check()  # type: ignore[arg-type]
    assert refused.value.diagnostics[0].code == "run-failed"
    assert "stopped before its end" in refused.value.diagnostics[0].message


def test_a_pool_on_a_gpu_runs_one_job_at_a_time() -> None:
    assert Pool.of(None, "cuda", Path()).at_once == 1
    assert Pool.of(3, "auto", Path()).at_once == 3


def test_seconds_before_a_resume_count() -> None:
    plan = toy_text_plan()
    first, again = (run_of(plan, Path("a"), (1.0, 1.0), (value,)).events for value in (3.0, 2.0))
    resumed = (RunStarted(plan.digest, 2), *again[1:])
    assert Run(Path("a"), plan, (*first, *resumed)).trained == 2 * 99.0


def test_the_plan_reaches_a_target_in_its_last_stage() -> None:
    """The first stage reaches 2 after 20 FLOPs, the switch raises the loss, and the last stage is back at 2 halfway
    between 60 and 80 FLOPs, in log compute."""
    plan = toy_text_plan()
    last = len(plan.stages) - 1
    points = [(20.0, 0, 2.0), (40.0, 0, 1.5), (60.0, last, 3.0), (80.0, last, 1.0)]
    events = [Measured(int(at), stage, LONG, at, None, {"loss@longest": value}, at) for at, stage, value in points]
    run = Run(Path("a"), plan, (*events, StepDone(80, last, LONG, 80.0, 1.0, 1.0)))
    ways = [Entry(name, name, (Job(name, plan, Path("a")),)) for name in ("plan", "rival")]
    ours, theirs = results(ways, {Path("a"): run}, "loss@longest", 2.0)
    assert last > 0
    assert ours.compute == (pytest.approx((60 * 80) ** 0.5),)
    assert theirs.compute == (20.0,)
    assert run.reaches("loss@longest", 1.5, last) == (pytest.approx(60**0.25 * 80**0.75), pytest.approx(75.0))
