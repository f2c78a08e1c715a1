"""Killed runs: after `--resume`, the final result is the same bit for bit.

The processes kill themselves at chosen moments (`killed.py`) and at file operations (`benchmarks/kill_io.py`, which
tries all of them if it is run by itself); `benchmarks/kill.py` kills at random from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import kill_io
from file_operations import Operation, Point, Watch
from kill_forks import STUCK, Bench, End
from shapeflow.base.files import write_text
from shapeflow.cli import answer
from shapeflow.ir.events import OF_THE_CLOCK, CheckpointSaved, Event, RunStarted, event_from_json, event_to_json
from shapeflow.ir.plan_json import save
from shapeflow.running.execute import checkpoint_name

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

PLAN = toy_image_plan(
    (({"patch": 4, "width": 32}, 9), ({"patch": 2, "width": 32}, 8), ({"patch": 2, "width": 48}, 13)),
    evaluate=10,
    checkpoint=4,
)
LAST = f"checkpoints/step-{PLAN.steps:09d}"
WIDER = PLAN.stages[2].first_step

MOMENTS = {
    "step:3": 0,
    f"step:{WIDER}": 16,
    "applied:2": 16,
    "applied:1": 8,
    f"step:{WIDER + 1}": 16,
    "torn:20": 16,
    "unnamed:20": 16,
    "named:20": 20,
    "logged:23": 20,
    f"named:{PLAN.steps}": PLAN.steps,
}
"""Moment of the kill -> the step of the checkpoint from which the run resumes; 0 if there is none."""


@attrs.frozen
class Runs:
    """The folder of all runs, and the signals that ended those that were killed."""

    folder: Path
    signals: dict[str, int]

    @property
    def whole(self) -> Path:
        return self.folder / "whole"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("kill")
    save(PLAN, folder / "plan.json")
    here = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = str(Path(__file__).with_name("killed.py"))
    command = [sys.executable, script, str(folder / "plan.json"), str(folder), *MOMENTS]
    done = subprocess.run(command, env=here, check=True, capture_output=True, text=True, timeout=300)
    told = dict(line.split() for line in done.stdout.splitlines())
    return Runs(folder, {moment: int(number) for moment, number in told.items()})


def told(folder: Path) -> list[Event]:
    return [event_from_json(json.loads(line)) for line in (folder / "events.jsonl").read_text().splitlines()]


def told_alike(folder: Path, left: int) -> list[dict[str, object]]:
    """The events of a log that are equal in a killed and a complete run, including losses and measured values.

    Leaves out times, `RunStarted`, and `CheckpointSaved` of the checkpoint from which the killed run resumes.
    """
    saved = CheckpointSaved(left, checkpoint_name(left))
    events = [event for event in told(folder) if not isinstance(event, RunStarted) and event != saved]
    return [{key: value for key, value in event_to_json(event).items() if key not in OF_THE_CLOCK} for event in events]


@pytest.mark.parametrize(("moment", "left"), MOMENTS.items())
def test_a_killed_run_resumes_to_the_same_end(moment: str, left: int, runs: Runs) -> None:
    folder = runs.folder / moment.replace(":", "-")
    assert runs.signals[moment] == signal.SIGKILL
    saved = [path.name for path in folder.glob("checkpoints/step-*")]
    assert max(saved, default="step-000000000") == f"step-{left:09d}"
    assert bool(list(folder.glob("checkpoints/.step-*"))) == moment.startswith(("torn", "unnamed"))

    command = ["run", str(folder / "plan.json"), "-o", str(folder), "--device", "cpu", "--quiet", "--resume"]
    assert answer(command) == 0
    begun = [event.step for event in told(folder) if isinstance(event, RunStarted)]
    assert begun == ([0, left] if left else [0])
    for name in ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"):
        assert (folder / LAST / name).read_bytes() == (runs.whole / LAST / name).read_bytes(), name
    assert told_alike(folder, left) == told_alike(runs.whole, left)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-000000028", LAST[12:]]


def test_a_run_killed_at_some_file_operations() -> None:
    script = [sys.executable, str(kill_io.__file__), "--every", "30", "--pairs", "1", "--json"]
    here = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(script, env=here, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["failed"] == []
    assert len(found["rows"]) == 4
    for row in found["rows"].values():
        assert row["points"] == row["same_bits"] == row["logs_equal"] > 0


def seen(folder: Path, act: Callable[[], object], point: Point | None = None) -> tuple[int, list[str]]:
    """Do something in a fork that is watched. Returns its exit code, or minus a signal, and its operations."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            watch = Watch(str(folder), point)
            watch.install()
            act()
            os.write(writer, json.dumps([one.call for one in watch.seen]).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as calls:
        listed = calls.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(listed or "[]")


WRITING = ["mkdir", "fsync", "open", "write", "fsync", "close", "chmod", "replace", "fsync"]


def test_all_operations_of_a_text_are_seen(tmp_path: Path) -> None:
    assert seen(tmp_path, lambda: write_text(tmp_path / "in/x", "hello!")) == (0, WRITING)
    assert seen(tmp_path / "in", lambda: (tmp_path / "out").write_text("")) == (0, [])
    assert seen(tmp_path, (tmp_path / "in/x").read_text) == (0, [])
    assert seen(tmp_path, lambda: shutil.rmtree(tmp_path / "in")) == (0, ["unlink", "rmdir"])


@pytest.mark.parametrize("number", range(len(WRITING)))
def test_a_process_dies_just_before_an_operation(number: int, tmp_path: Path) -> None:
    killed, _ = seen(tmp_path, lambda: write_text(tmp_path / "in/x", "hello!"), Point(number))
    assert killed == -signal.SIGKILL
    left = {path.name for path in (tmp_path / "in").glob("*")}
    assert len(left) == (number > 2)
    assert ("x" in left) == (number == 8)


def test_a_process_dies_within_a_write(tmp_path: Path) -> None:
    killed, _ = seen(tmp_path, lambda: write_text(tmp_path / "x", "hello!"), Point(2, True))
    assert killed == -signal.SIGKILL
    assert [path.read_text() for path in tmp_path.iterdir()] == ["hel"]


def harm_bytes(folder: Path) -> None:
    (folder / kill_io.LAST / "state.json").write_text("{}")


def harm_events(folder: Path) -> None:
    (folder / "events.jsonl").write_text('{"event": "step_done", "loss": 2.5, "seconds": 3}\n')


def harm_names(folder: Path) -> None:
    (folder / ".data.json.tmp").touch()


@pytest.mark.parametrize(
    ("harm", "failed"),
    [(None, ""), (harm_bytes, "other bytes"), (harm_events, "other events"), (harm_names, "left run/.data")],
)
def test_a_trial_sees_what_differs(harm: Callable[[Path], None] | None, failed: str, tmp_path: Path) -> None:
    """The second run stands for the one that is killed and resumed; only its seconds differ."""
    for name in ("whole", "trial"):
        last = tmp_path / name / "run" / kill_io.LAST
        last.mkdir(parents=True)
        (last / "state.json").write_text('{"step": 12}')
        line = {"event": "step_done", "loss": 1.5, "seconds": ord(name[0])}
        (tmp_path / name / "run" / "events.jsonl").write_text(json.dumps(line) + "\n")
    if harm is not None:
        harm(tmp_path / "trial" / "run")
    killed, resumed = [End(-signal.SIGKILL)], [End(0)]
    row = kill_io.Row("", Bench(tmp_path), [Operation("fsync", "run/checkpoints")], tmp_path / "whole" / "run")
    trial = row.compared(Point(0), tmp_path / "trial" / "run", killed, resumed)
    assert trial.passed == (harm is None)
    assert harm is None or failed in str(trial)


LOST = End(1, ("worker-lost",))


def test_how_the_other_process_may_end() -> None:
    killed, done, stuck = End(-signal.SIGKILL), End(0), End(STUCK)
    for late in (False, True):
        assert not list(kill_io.problems([killed, LOST], [done, done], late))
        assert bool(list(kill_io.problems([killed, done], [done, done], late))) != late
        assert list(kill_io.problems([killed, stuck], [done, done], late))
        assert list(kill_io.problems([done, LOST], [done, done], late))
        assert list(kill_io.problems([killed, LOST], [done, End(1, ("no-run",))], late))
        assert list(kill_io.problems([killed, LOST], [done, End(1)], late))
