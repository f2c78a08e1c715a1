"""Training runs: folders, resuming, stopping."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from safetensors.torch import load_file
from torch_tools import losses, machine

from shapeflow.api import run
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir import plan_json
from shapeflow.ir.events import (
    CheckpointSaved,
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StepDone,
    TransitionApplied,
    event_from_json,
)
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import execute
from shapeflow.running.follow import Outcome
from shapeflow.running.lock import Lock
from shapeflow.running.pool import Job
from shapeflow_torch import TorchBackend, devices
from shapeflow_torch.team import Team

PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)


def go(plan: Plan, where: Path, **choices: Any) -> tuple[Outcome, list[Event]]:
    heard: list[Event] = []
    outcome = run(plan, where, **{"device": "cpu", "listen": heard.append, **choices})
    assert outcome is not None
    return outcome, heard


def refused(plan: Plan, where: Path, **choices: Any) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        go(plan, where, **choices)
    return caught.value.diagnostics[0]


def told(where: Path) -> list[Event]:
    return [event_from_json(json.loads(line)) for line in (where / "events.jsonl").read_text().splitlines()]


class StopAfter:
    """A listener that sends SIGTERM to this process after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepDone) and event.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_leaves_its_plan_its_data_its_events_and_two_checkpoints(tmp_path: Path) -> None:
    outcome, heard = go(PLAN, tmp_path / "run")
    assert outcome.finished
    assert (outcome.step, outcome.compute) == (12, heard[-1].compute)  # type: ignore[union-attr]
    assert set(outcome.values) == {"classification_error", "cross_entropy"}
    assert plan_json.load(tmp_path / "run" / "plan.json") == PLAN
    assert json.loads((tmp_path / "run" / "data.json").read_text())["data"] == "digits"
    assert told(tmp_path / "run") == heard
    saved = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["step-000000008", "step-000000012"]
    assert [type(e) for e in heard if not isinstance(e, StepDone)][:2] == [RunStarted, heard[1].__class__]
    assert sum(isinstance(e, TransitionApplied) for e in heard) == 1
    assert sum(isinstance(e, Measured) for e in heard) == 2


def test_stopped_and_resumed_is_the_run_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the computer meanwhile jumps by years, back and forth."""
    _, whole = go(PLAN, tmp_path / "whole")
    jumps = itertools.cycle((0.0, 4e9, 1e9))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    for step in (3, 6, 7):
        where = tmp_path / str(step)
        outcome, _ = go(PLAN, where, listen=StopAfter(step - 1))
        assert not outcome.finished
        assert outcome.step == step
        assert (where / "checkpoints" / f"step-{step:09d}").exists()
        _, rest = go(PLAN, where, resume=True)
        assert losses(rest) == losses(whole)[step:]
        assert losses(told(where)) == losses(whole)
        assert all(0 < event.seconds < 60 for event in told(where) if isinstance(event, StepDone))
        assert [e for e in told(where) if isinstance(e, RunEnded)] == [whole[-1]]
        for name in ("model", "average", "optimizer"):
            ends = [
                load_file(each / f"checkpoints/step-000000012/{name}.safetensors")
                for each in (tmp_path / "whole", where)
            ]
            assert ends[0].keys() == ends[1].keys()
            assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_a_goal_ends_a_run_early(tmp_path: Path) -> None:
    outcome, heard = go(PLAN, tmp_path / "early", until=("cross_entropy", 9.0))
    assert (outcome.reached, outcome.finished, outcome.step) == (True, False, 6)
    assert CheckpointSaved(6, "step-000000006") in heard
    outcome, _ = go(PLAN, tmp_path / "never", until=("cross_entropy", 0.0))
    assert (outcome.reached, outcome.finished) == (False, True)
    found = refused(PLAN, tmp_path / "wrong", until=("loss@own", 0.0))
    assert found.code == "no-such-metric"
    assert found.help == "use one of these: classification_error, cross_entropy"


def test_a_plan_in_a_unit_that_runs_do_not_measure_is_refused(tmp_path: Path) -> None:
    plan = attrs.evolve(toy_text_plan((({"context": 16}, 2),)), metric="loss@own:bits_per_byte")
    found = refused(plan, tmp_path / "run")
    assert found.code == "no-such-metric"
    assert found.message == (
        "the plan predicts `loss@own:bits_per_byte`, and a run measures `loss@own` and `loss@longest`"
    )


def test_a_paused_run_goes_on_to_the_next_pause(tmp_path: Path) -> None:
    """The job of a pool is finished at its pause, and unfinished for a later one."""
    _, whole = go(PLAN, tmp_path / "whole")
    where = tmp_path / "paused"
    outcome, heard = go(PLAN, where, pause=5)
    assert (outcome.finished, outcome.step) == (False, 5)
    assert heard[-2:] == [CheckpointSaved(5, "step-000000005"), RunEnded(5, PLAN.compute_at(5), False)]
    assert outcome.stopped_by == told(where)[-1].stopped_by == "pause"  # type: ignore[union-attr]
    assert [Job("", PLAN, where, pause=pause).finished for pause in (4, 5, 6, None)] == [True, True, False, False]
    go(PLAN, where, resume=True, pause=7)
    outcome, _ = go(PLAN, where, resume=True, pause=99)
    assert outcome.finished
    kinds = StepDone, Measured, TransitionApplied
    assert [e for e in told(where) if isinstance(e, kinds)] == [e for e in whole if isinstance(e, kinds)]
    ends = [load_file(each / "checkpoints/step-000000012/model.safetensors") for each in (where, tmp_path / "whole")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[1])


def test_a_log_longer_than_its_checkpoint_is_cut(tmp_path: Path) -> None:
    go(PLAN, tmp_path, listen=StopAfter(5))
    events = tmp_path / "events.jsonl"
    whole = events.read_text()
    lines = whole.splitlines(keepends=True)
    assert isinstance(event_from_json(json.loads(lines[-1])), RunEnded)
    later = lines[-4].replace('"step": 5', '"step": 9')
    events.write_text(whole + later + later[:20])
    go(PLAN, tmp_path, resume=True)
    steps = [e.step for e in told(tmp_path) if isinstance(e, StepDone)]
    assert steps == list(range(1, 13))


def test_killed_before_the_first_checkpoint_starts_again(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "run_st')
    _, heard = go(PLAN, tmp_path, resume=True)
    assert told(tmp_path) == heard
    assert heard[0] == RunStarted(PLAN.digest, 0)


def test_a_broken_newest_checkpoint_is_skipped_and_reported(tmp_path: Path) -> None:
    go(PLAN, tmp_path, listen=StopAfter(6))
    (tmp_path / "checkpoints" / "step-000000007" / "model.safetensors").write_bytes(b"")
    warned: list[Diagnostic] = []
    _, heard = go(PLAN, tmp_path, resume=True, warn=warned.append)
    assert [d.code for d in warned] == ["broken-checkpoint"]
    assert heard[0] == RunStarted(PLAN.digest, 4)


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    go(PLAN, tmp_path, listen=StopAfter(2))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert refused(PLAN, tmp_path).code == "run-exists"
    other = attrs.evolve(PLAN, seed=1)
    assert refused(plan_json.sealed(other), tmp_path, resume=True).code == "other-history"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    done, _ = go(PLAN, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    outcome, heard = go(PLAN, tmp_path, resume=True, until=("cross_entropy", 9.0))
    assert outcome == attrs.evolve(done, before=True, reached=True, seconds=0.0)
    assert heard == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_resume_starts_where_there_is_no_run(tmp_path: Path) -> None:
    """Not among the files of something else, which `-o` probably names by mistake."""
    outcome, heard = go(PLAN, tmp_path / "run", resume=True)
    assert outcome.finished
    assert heard[0] == RunStarted(PLAN.digest, 0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    found = refused(PLAN, tmp_path / "other", resume=True)
    assert (found.code, found.notes) == ("no-run", ("it contains `thesis.tex`",))


def test_other_data_than_at_the_start(tmp_path: Path) -> None:
    go(PLAN, tmp_path, listen=StopAfter(2))
    about = json.loads((tmp_path / "data.json").read_text())
    (tmp_path / "data.json").write_text(json.dumps({**about, "sha256": "0"}))
    assert refused(PLAN, tmp_path, resume=True).code == "data-changed"


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert refused(PLAN, tmp_path).code == "run-busy"
    lock.release()
    go(PLAN, tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(PLAN, tmp_path / "file" / "run").code == "cannot-write"


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    assert PLAN.optimizer is not None
    wild = attrs.evolve(PLAN.optimizer, settings={**PLAN.optimizer.settings, "lr": 1e30, "warmup": 0})
    plan = plan_json.sealed(attrs.evolve(PLAN, optimizer=wild))
    assert refused(plan, tmp_path).code == "loss-not-finite"


def test_steps_that_processes_cannot_share_touch_no_folder(tmp_path: Path) -> None:
    assert refused(PLAN, tmp_path / "run", processes=5).code == "batch-not-divisible"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("choices", "code"),
    [({"device": "tpu"}, "no-such-device"), ({"processes": -1}, "no-processes")],
)
def test_devices_that_are_none(tmp_path: Path, choices: dict[str, Any], code: str) -> None:
    assert refused(PLAN, tmp_path, **choices).code == code


def test_more_gpus_than_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ())
    found = refused(PLAN, tmp_path, device="auto", gpus=2)
    assert found.code == "no-such-gpus"
    assert found.help == "use `--device cpu --processes 2`"
    assert refused(PLAN, tmp_path, device="cuda").help == "use `--device cpu`"
    monkeypatch.setattr(devices, "gpus", lambda: ("H200",))
    found = refused(PLAN, tmp_path, device="cuda", processes=2)
    assert found.help == "use `--gpus 1`, or `--device cpu --processes 2`"
    assert "GPUs here: H200" in found.notes
    assert devices.place("auto") == devices.Place("cuda", 1)
    assert devices.place("cpu", 2) == devices.Place("cpu", 2)


def test_the_backend_does_not_import_torch_before_it_runs() -> None:
    script = "import sys, shapeflow_torch; assert 'torch' not in sys.modules; shapeflow_torch.TorchBackend()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert TorchBackend.name == "torch"


def test_a_switch_waits_for_the_device_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is synchronized before and after, so that `seconds` of `TransitionApplied` measures the switch."""
    seen: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", seen.append)
    made = machine(PLAN, taken=False)
    made.team = Team(device=torch.device("cuda", 0))
    made._settle()
    made.team = Team()
    made._settle()
    assert seen == [torch.device("cuda", 0)]
    told: list[str] = []
    monkeypatch.setattr(made, "_settle", lambda: told.append("settled"))
    for event in execute(PLAN, made):
        told += ["step"] * isinstance(event, StepDone) + ["switch"] * isinstance(event, TransitionApplied)
    steps = ["step"] * 5
    assert told == [*steps, "settled", "step", "settled", "switch", *steps, "settled", "step"]
