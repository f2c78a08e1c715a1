"""Where runs stand: `shapeflow show` of a run that runs, stopped, failed or ended, and of several runs; and what is
ahead of a sweep. No test trains: the logs are written here."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.ir.events import (
    CheckpointSaved,
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StageEntered,
    StepDone,
    event_to_json,
)
from shapeflow.ir.plan_json import save
from shapeflow.preview.jobs import total_line, watched
from shapeflow.preview.standing import span
from shapeflow.running.ahead import Ahead
from shapeflow.running.listed import listing
from shapeflow.running.lock import Lock
from shapeflow.running.pool import Job

PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)
START: Sequence[Event] = (RunStarted(PLAN.digest, 0), StageEntered(0, PLAN.stages[0].shape, 0, 0.0))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def steps(number: int, first: int = 1) -> list[Event]:
    """The first steps of the plan, of half a second each."""
    found: list[Event] = []
    for step in range(first, number + 1):
        stage = PLAN.stage_at(step)
        at = (step, stage, PLAN.stages[stage].shape, PLAN.compute_at(step))
        found.append(StepDone(*at, 2.5, 0.5, 1e-3, throughput=40.0))
    return found


def ended(step: int, by: str | None) -> RunEnded:
    return RunEnded(step, PLAN.compute_at(step), by is None, by)


def made(folder: str, *events: Event) -> Path:
    """A run's folder with a log."""
    path = Path(folder)
    path.mkdir(parents=True)
    save(PLAN, path / "plan.json")
    if events:
        path.joinpath("events.jsonl").write_text("".join(f"{json.dumps(event_to_json(one))}\n" for one in events))
    return path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert answer(["show", *words]) == 0
    return capsys.readouterr().out


def test_a_live_run(capsys: pytest.CaptureFixture[str]) -> None:
    at = (3, 0, PLAN.stages[0].shape, PLAN.compute_at(3))
    measured = Measured(*at, None, {PLAN.metric: 0.5}, 1.5, {}, 0.75)
    lock = Lock(made("r", *START, *steps(3), measured))
    said = shown(capsys, "r")
    found = json.loads(shown(capsys, "r", "--json"))
    lock.release()
    assert "running, after step 3 of 12" in said
    assert f"process {os.getpid()} on " in said
    share = 100 * PLAN.compute_at(3) / PLAN.compute_at(12)
    assert "in stage 1 of 2, (width: 32); " in said
    assert f"{share:.0f}% of the plan's; loss 2.500 at step 3" in said
    # Evaluations took half as long as the steps.
    left = 0.5 / PLAN.stages[0].cost * (PLAN.compute_at(12) - PLAN.compute_at(3)) * 1.5
    assert found["seconds_left"] == pytest.approx(left)
    assert f"time left: {span(left)}, at 40 images/s" in said
    assert (found["state"], found["holder"]["process"], found["steps"], found["of"]) == ("running", os.getpid(), 3, 12)
    assert "failed or killed after step 3 of 12" in shown(capsys, "r")


def test_before_the_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    """No loss, speed or time is made up."""
    lock = Lock(made("r", *START))
    said, found = shown(capsys, "r"), json.loads(shown(capsys, "r", "--json"))
    lock.release()
    assert "before the first step" in said
    assert "time left: unknown" in said
    assert "nan" not in said
    assert (found["loss"], found["seconds_left"]) == (None, None)
    assert "not begun, 12 steps" in shown(capsys, str(made("w")))


def test_a_run_that_stopped_before_its_first_logged_loss(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, str(made("r", *START, ended(1, "SIGALRM"))))
    assert "stopped by `--stop-after` after step 1 of 12 steps" in said
    assert "before the first step" not in said
    assert f"{100 * PLAN.compute_at(1) / PLAN.compute_at(12):.0f}% of the plan's" in said


def test_a_resumed_run_is_as_fast_as_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(made("r", *START, *steps(4), CheckpointSaved(4, "step-000000004"), RunStarted(PLAN.digest, 4)))
    assert "time left: unknown" in shown(capsys, "r")
    lock.release()


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([*steps(12), ended(12, None)], "finished, 12 steps"),
        ([*steps(5), ended(5, "SIGTERM")], "stopped by SIGTERM after step 5 of 12 steps"),
        ([*steps(5), ended(5, "until")], "`--until` was reached after step 5 of 12 steps"),
        ([*steps(5), ended(5, "pause")], "paused after step 5 of 12 steps"),
        ([*steps(4), CheckpointSaved(4, "step-000000004"), *steps(5, 5)], "failed or killed after step 5 of 12 steps"),
    ],
)
def test_how_a_run_ended(events: list[Event], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, str(made("r", *START, *events)))
    assert words in said
    assert "runs it" not in said
    assert ("the newest checkpoint is that of step 4" in said) == ("failed" in words)


def card(folder: Path, **other: Any) -> None:
    """The card of another process, which holds no lock."""
    lock = Lock(folder)
    found = json.loads((folder / "holder.json").read_text())
    lock.release()
    assert not (folder / "holder.json").exists()
    (folder / "holder.json").write_text(json.dumps({**found, **other}))


@pytest.mark.parametrize("other", [{"process": 2**31}, {"started": "1"}, {"host": "elsewhere"}])
def test_a_card_of_a_process_that_has_ended(other: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    card(made("r", *START, *steps(2)), **other)
    assert "failed or killed after step 2" in shown(capsys, "r")


def test_a_holder_on_another_computer(capsys: pytest.CaptureFixture[str]) -> None:
    """`flock` reaches over a network file system; the card says who it is. Looking does not take the lock."""
    folder = made("r", *START, *steps(2))
    card(folder, host="elsewhere", process=7)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert "process 7 on elsewhere runs it" in shown(capsys, "r")
    with pytest.raises(Refused, match="run-busy") as caught:
        Lock(folder)
    assert caught.value.diagnostics[0].notes == ("process 7 on `elsewhere`",)
    os.close(descriptor)
    Lock(folder).release()


def test_without_flock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = made("r", *START, *steps(2))
    lock = Lock(folder)
    assert f"process {os.getpid()} on " in shown(capsys, "r")
    found = {**json.loads((folder / "run.lock").read_text()), "host": "elsewhere", "process": 7}
    lock.release()
    (folder / "run.lock").write_text(json.dumps(found))
    assert "process 7 on elsewhere runs it" in shown(capsys, "r")
    # Of another clock, years off in either direction: nothing is known of its age.
    for moment in (0, 2**32):
        os.utime(folder / "run.lock", (moment, moment))
        assert "failed or killed" in shown(capsys, "r")


def test_several_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a run, also for those that wait, and the total."""
    made("s/a", *START, *steps(12), ended(12, None))
    made("s/c", *START, *steps(5), ended(5, "until"))
    lock = Lock(made("s/b", *START, *steps(6)))
    jobs = [Job(name, PLAN, Path("s") / name) for name in "abcd"]
    with pytest.raises(KeyboardInterrupt), listing(Path("s"), jobs):
        raise KeyboardInterrupt
    said, found = shown(capsys, "s"), json.loads(shown(capsys, "s", "--json"))
    lock.release()
    assert said.startswith("s: 2 of 4 runs finished, 1 running; ")
    rows = {line.split()[0]: line for line in said.splitlines()[2:]}
    assert "running, after step 6 of 12" in rows["b"]
    assert "not begun" in rows["d"]
    whole, half, early = (PLAN.compute_at(number) for number in (12, 6, 5))
    assert found["total"] == pytest.approx(3 * whole + early)
    assert found["compute"] == pytest.approx(whole + half + early)
    speed = PLAN.stages[0].cost / 0.5
    assert found["seconds_left"] == pytest.approx((2 * whole - half) / speed)
    with listing(Path("s"), jobs):
        pass
    assert "not begun" not in shown(capsys, "s")
    assert "time left" in shown(capsys, "s").splitlines()[2]


def test_a_finished_comparison_gives_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A rival that was paused because no more of it was needed is not one that waits to be continued."""
    made("both/plan-seed0", *START, *steps(12), ended(12, None))
    made("both/last-seed0", *START, *steps(5), ended(5, "pause"))
    assert answer(["show", "both"]) == 0
    assert "1 of 2 runs finished" in (said := capsys.readouterr().out)
    assert "paused after step 5" in said
    Path("both/comparison.json").write_text(json.dumps({"verdict": "measured: the plan saves 12%"}))
    assert answer(["show", "both"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("measured: the plan saves 12%\n")
    assert "2 of 2 runs finished" in said
    assert "ended early, after step 5" in said
    for broken in ("{", "[]", '{"verdict": 3}'):
        Path("both/comparison.json").write_text(broken)
        assert answer(["show", "both"]) == 0
        assert capsys.readouterr().out.startswith("both: ")


@pytest.mark.parametrize("what", ["empty", "none"])
def test_a_folder_of_something_else(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert answer(["show", what]) == 1
    assert "error[" in capsys.readouterr().err


def test_what_is_ahead_of_a_sweep() -> None:
    """Only what this command does counts for the speed; a run that ends early is not waited for."""
    now = [0.0]
    jobs = [Job(name, PLAN, Path(name)) for name in "abc"]
    ahead = Ahead(jobs, lambda: now[0])
    whole = PLAN.compute_at(12)
    assert total_line(ahead).endswith("time left: unknown")
    now[0] = 10.0
    ahead.note(jobs[0], 4, "runs")
    assert ahead.left is None
    ahead.note(jobs[0], 6, "runs")
    done = PLAN.compute_at(6) - PLAN.compute_at(4)
    assert ahead.left == pytest.approx((3 * whole - PLAN.compute_at(6)) * 10.0 / done)
    made("a", *START, *steps(8), ended(8, "until"))
    ahead.note(attrs.evolve(jobs[0], until=("m", 1.0)), 12, "done")
    assert ahead.total == pytest.approx(2 * whole + PLAN.compute_at(8))
    assert ahead.ended == 1
    made("b", *START, *steps(12), ended(12, None))
    ahead.note(jobs[1], 12, "kept")
    assert ahead.left == pytest.approx(whole * 10.0 / (PLAN.compute_at(8) - PLAN.compute_at(4)))
    ahead.skip(jobs[2])
    assert total_line(ahead).startswith("2 of 2 runs, 100% of ")
    assert "time left" not in total_line(ahead)


def test_little_says_nothing_about_the_time_left() -> None:
    now = [0.0]
    jobs = [Job(str(number), PLAN, Path(str(number))) for number in range(200)]
    ahead = Ahead(jobs, lambda: now[0])
    for job in jobs[:3]:
        ahead.note(job, 0, "runs")
    now[0] = 60.0
    ahead.note(jobs[0], 12, "runs")
    assert ahead.left is None  # a two-hundredth of all
    ahead.note(jobs[1], 12, "runs")
    assert ahead.left == pytest.approx(60.0 * 198 / 2)


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line at each tenth of the compute, and one when a run ends."""
    job = Job("one", PLAN, made("one", *START, *steps(12), ended(12, None)))
    with watched([job]) as watch:
        for step in range(13):
            watch(job, step, "runs")
        watch(job, 12, "done")
    lines = capsys.readouterr().err.splitlines()
    shares = [int(100 * PLAN.compute_at(step) / PLAN.compute_at(12)) // 10 for step in range(13)]
    assert len(lines) == len(set(shares)) + 1
    assert lines[0].endswith("time left: unknown")
    assert all("time left: about " in line for line in lines[1:-1])
    assert lines[-1].startswith("  one: done; 1 of 1 runs, 100% of ")


def test_spans() -> None:
    assert [span(each) for each in (None, 0.2, 59, 60, 3_700, 90_000, 86_400)] == [
        *("unknown", "1 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h", "1 d"),
    ]
