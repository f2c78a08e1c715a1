"""Killed runs: after `--resume`, the final result is the same bit for bit.

The processes kill themselves at chosen moments (`killed.py`); `benchmarks/kill.py` kills at random from outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan

from shapeflow.cli import answer
from shapeflow.ir.events import CheckpointSaved, Event, RunStarted, event_from_json, event_to_json
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

    Leaves out `seconds`, `RunStarted`, and `CheckpointSaved` of the checkpoint from which the killed run resumes.
    """
    saved = CheckpointSaved(left, checkpoint_name(left))
    events = [event for event in told(folder) if not isinstance(event, RunStarted) and event != saved]
    return [{key: value for key, value in event_to_json(event).items() if key != "seconds"} for event in events]


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
