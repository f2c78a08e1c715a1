"""Trackers get the values of a run as it goes on, after a resume, and from its log; a failing one stops nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from plans import toy_image_plan
from torch_tools import machine

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli import answer
from shapeflow.ir import plan_json
from shapeflow.ir.events import Event, Measured, RunStarted, StepDone
from shapeflow.running.execute import execute
from shapeflow.tracking import About, Tracking, tracker_of

PLAN = toy_image_plan((({"patch": 4}, 3), ({"patch": 2}, 3)), evaluate=2)


class Recorder:
    """Keeps the calls that it gets. `broken`: the call that raises."""

    def __init__(self, broken: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.broken = broken

    def begin(self, about: About) -> str:
        return self._called("begin", about) or "7"

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._called("scalars", values, step)

    def note(self, text: str, step: int) -> None:
        self._called("note", text, step)

    def end(self, finished: bool) -> None:
        self._called("end", finished)

    def _called(self, *call: Any) -> None:
        if call[0] == self.broken:
            raise RuntimeError("the server is gone\nand more")
        self.calls.append(call)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(execute(PLAN, machine(PLAN)))


def tracked(folder: Path, events: list[Event], tracker: Any, **options: Any) -> list[Diagnostic]:
    warnings: list[Diagnostic] = []
    tracking = Tracking(PLAN, folder, {"mine": tracker}, warnings.append, **options)
    for event in events:
        tracking.listen(event)
    tracking.close()
    return warnings


def test_every_step_measurement_and_stage_is_sent(tmp_path: Path, events: list[Event]) -> None:
    tracker = Recorder()
    assert tracked(tmp_path, events, tracker) == []
    sent = [(values, step) for name, values, step in (c for c in tracker.calls if c[0] == "scalars")]
    losses = [(values["train/loss"], step) for values, step in sent if "train/loss" in values]
    assert losses == [(event.loss, event.step) for event in events if isinstance(event, StepDone)]
    held = [values for values, _ in sent if "held_out/cross_entropy" in values]
    measured = [event for event in events if isinstance(event, Measured)]
    assert [values["held_out/cross_entropy"] for values in held] == [m.values["cross_entropy"] for m in measured]
    assert all(values["held_out/cross_entropy_standard_error"] > 0 for values in held)
    notes = [call[1:] for call in tracker.calls if call[0] == "note"]
    assert notes == [("stage 1: (patch: 4), by start", 0), ("stage 2: (patch: 2), by flexi_resize", 3)]
    assert tracker.calls[0][0] == "begin"
    assert tracker.calls[-1] == ("end", True)


def test_a_tracker_is_told_what_the_plan_states(tmp_path: Path, events: list[Event]) -> None:
    tracker = Recorder()
    tracked(tmp_path, events, tracker)
    about = tracker.calls[0][1]
    assert about.config["plan"] == PLAN.digest
    assert (about.config["model"], about.config["model.width"]) == ("vit", 32)
    assert all(isinstance(value, int | float | str) for value in about.config.values())


def test_a_resumed_run_is_continued(tmp_path: Path, events: list[Event]) -> None:
    first, again, anew = Recorder(), Recorder(), Recorder()
    tracked(tmp_path, events, first)
    tracked(tmp_path, events, again)
    tracked(tmp_path, events, anew, continues=False)
    assert [tracker.calls[0][1].identity for tracker in (first, again, anew)] == [None, "7", None]


def test_the_log_of_a_resumed_run_begins_once(tmp_path: Path, events: list[Event]) -> None:
    resumed = [*events[:5], RunStarted(PLAN.digest, 3), *events[5:]]
    once, twice = Recorder(), Recorder()
    tracked(tmp_path, events, once, continues=False)
    assert tracked(tmp_path, resumed, twice, continues=False) == []
    assert [call[0] for call in twice.calls].count("begin") == 1
    assert twice.calls[1:] == once.calls[1:]


def test_a_run_that_breaks_off_is_ended_as_not_finished(tmp_path: Path, events: list[Event]) -> None:
    tracker = Recorder()
    tracked(tmp_path, events[:4], tracker)
    assert tracker.calls[-1] == ("end", False)


@pytest.mark.parametrize("call", ["begin", "scalars", "note", "end"])
def test_a_tracker_that_fails_is_dropped_with_one_warning(tmp_path: Path, events: list[Event], call: str) -> None:
    broken, whole = Recorder(call), Recorder()
    warnings: list[Diagnostic] = []
    tracking = Tracking(PLAN, tmp_path, {"broken": broken, "whole": whole}, warnings.append)
    for event in events:
        tracking.listen(event)
    (warning,) = warnings
    assert (warning.code, warning.severity) == ("tracker-failed", "warning")
    assert warning.notes == ("RuntimeError: the server is gone",)
    assert whole.calls[-1] == ("end", True)


def test_names() -> None:
    with pytest.raises(Refused) as unknown:
        tracker_of("tensorbord")
    assert unknown.value.diagnostics[0].help == "did you mean `tensorboard`?"
    for name in ("no_such_package:Tracker", "json:Nothing", "json:JSONDecoder", "os.path:join"):
        with pytest.raises(Refused) as refused:
            tracker_of(name)
        assert refused.value.diagnostics[0].code == "no-such-tracker"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(Refused) as refused:
        tracker_of("wandb")
    (found,) = refused.value.diagnostics
    assert (found.code, found.help) == ("missing-extra", "install it: `pip install wandb`")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_calls_of_wandb(name: str, tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the calls of wandb, which the tests do not install."""
    calls: list[tuple[str, Any]] = []
    run = SimpleNamespace(
        id="a1",
        summary={},
        log=lambda values, step: calls.append(("log", step)),
        finish=lambda **k: calls.append(("finish", k)),
    )

    def init(**options: Any) -> Any:
        calls.append(("init", options))
        return run

    library = ModuleType(name)
    library.__dict__.update(init=init, finish=lambda: calls.append(("finish", {})))
    monkeypatch.setitem(sys.modules, name, library)
    assert tracked(tmp_path, events, tracker_of(name)) == []
    assert calls[0][1]["config"]["plan"] == PLAN.digest
    assert calls[0][1]["resume"] == "allow"
    assert {step for what, step in calls if what == "log"} == set(range(7))
    assert calls[-1][0] == "finish"


def test_the_calls_of_mlflow(tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the calls of MLflow. A run that is sent again goes on in the same one."""
    calls: list[tuple[str, Any]] = []

    class Client:
        def get_experiment_by_name(self, name: str) -> None:
            assert name == "shapeflow"

        def create_experiment(self, name: str) -> str:
            return "4"

        def create_run(self, experiment: str, run_name: str) -> Any:
            calls.append(("create", experiment))
            return SimpleNamespace(info=SimpleNamespace(run_id="a1"))

        def update_run(self, run: str, status: str) -> None:
            calls.append(("update", run))

        def log_batch(self, run: str, **values: Any) -> None:
            assert (run, len(values)) == ("a1", 1)
            calls.extend(values.items())

        def set_terminated(self, run: str, status: str) -> None:
            calls.append(("end", status))

    entities, tracking = ModuleType("mlflow.entities"), ModuleType("mlflow.tracking")
    entities.__dict__.update({name: lambda *values: values for name in ("Param", "Metric", "RunTag")})
    tracking.__dict__.update(MlflowClient=Client)
    for library in (ModuleType("mlflow"), entities, tracking):
        monkeypatch.setitem(sys.modules, library.__name__, library)
    assert tracked(tmp_path, events, tracker_of("mlflow")) == []
    assert calls[0] == ("create", "4")
    settings = dict(pair for what, values in calls if what == "params" for pair in values)
    assert settings["plan"] == PLAN.digest
    sent = [metric for what, values in calls if what == "metrics" for metric in values]
    # MLflow refuses all others.
    assert all(re.fullmatch(r"[\w\-. :/]+", name, re.ASCII) for name in [*settings, *(name for name, *_ in sent)])
    losses = [(event.loss, event.step) for event in events if isinstance(event, StepDone)]
    assert [(value, step) for name, value, _, step in sent if name == "train/loss"] == losses
    assert calls[-1] == ("end", "FINISHED")
    assert tracked(tmp_path, events, tracker_of("mlflow")) == []
    assert ("update", "a1") in calls


def test_a_run_writes_tensorboard_files(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plan_json.save(PLAN, tmp_path / "plan.json")
    run = tmp_path / "run"
    words = ["run", str(tmp_path / "plan.json"), "-o", str(run), "--device", "cpu", "--quiet"]
    assert answer([*words, "--track", "tensorboard"]) == 0
    found = accumulators.EventAccumulator(str(run / "tracking"))
    found.Reload()
    logged = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    losses = [(line["step"], pytest.approx(line["loss"])) for line in logged if line["event"] == "step_done"]
    assert [(each.step, each.value) for each in found.Scalars("train/loss")] == losses
    # A run that is sent again replaces what is there.
    assert answer(["track", str(run), "--to", "tensorboard"]) == 0
    found.Reload()
    assert [(each.step, each.value) for each in found.Scalars("train/loss")] == losses


def test_a_run_goes_on_without_its_tracker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_json.save(PLAN, tmp_path / "plan.json")
    words = ["run", str(tmp_path / "plan.json"), "-o", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    (tmp_path / "broken_tracker.py").write_text(
        "class Broken:\n    def begin(self, about): raise SystemExit(3)\n    scalars = note = end = begin\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        assert answer([*words, "--track", "broken_tracker:Broken"]) == 0
    finally:
        sys.path.remove(str(tmp_path))
    assert capsys.readouterr().err.count("warning[tracker-failed]") == 1
    assert answer(["show", str(tmp_path / "run")]) == 0
