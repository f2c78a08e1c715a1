"""Traces of some steps of a run (`--profile`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_torch_run import PLAN, go, refused, told

from shapeflow.api import run
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli import answer
from shapeflow.ir.plan_json import save
from shapeflow_torch import trace

FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors")


def steps_in(path: Path) -> list[int]:
    """The steps of a trace, which contain the operations of a step."""
    events = json.loads(path.read_text())["traceEvents"]
    assert any("backward" in each["name"].lower() for each in events)
    found = {match[1] for each in events if (match := re.fullmatch(r"step (\d+)", each["name"]))}
    return sorted(map(int, found))


def traces(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir() if "trace" in path.name)


def test_a_trace_across_a_switch_changes_no_bit(tmp_path: Path) -> None:
    """The plan switches and measures after step 6."""
    go(PLAN, tmp_path / "without")
    outcome, _ = go(PLAN, tmp_path / "with", profile=(5, 8))
    assert traces(tmp_path / "with") == ["trace-5-8.json"]
    assert outcome.trace == str(tmp_path / "with" / "trace-5-8.json")
    assert steps_in(tmp_path / "with" / "trace-5-8.json") == [5, 6, 7, 8]
    assert told(tmp_path / "with") == told(tmp_path / "without")
    last = f"checkpoints/step-{PLAN.steps:09d}"
    for name in FILES:
        assert Path(tmp_path, "with", last, name).read_bytes() == Path(tmp_path, "without", last, name).read_bytes()


def test_a_run_that_ends_within_the_steps(tmp_path: Path) -> None:
    """The trace has the steps that a process makes. The next process goes on with the others."""
    heard: list[Diagnostic] = []
    go(PLAN, tmp_path, profile=(3, 6), pause=4, warn=heard.append)
    assert traces(tmp_path) == ["trace-3-4.json"]
    outcome, _ = go(PLAN, tmp_path, profile=(3, 6), resume=True, warn=heard.append)
    assert outcome.finished
    assert traces(tmp_path) == ["trace-3-4.json", "trace-5-6.json"]
    assert steps_in(tmp_path / "trace-5-6.json") == [5, 6]
    go(PLAN, tmp_path, profile=(3, 6), resume=True, warn=heard.append)
    assert [(each.code, each.severity) for each in heard] == [("not-profiled", "warning")] * 3
    parts = ("recorded only steps 3 to 4", "recorded only steps 5 to 6", "this process made none")
    assert all(part in each.message for part, each in zip(parts, heard, strict=True))


def test_steps_that_a_plan_does_not_have(tmp_path: Path) -> None:
    found = refused(PLAN, tmp_path / "r", profile=(11, 13))
    assert (found.code, found.help) == ("no-such-steps", "write `--profile 10..12` or earlier steps")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("text", ["0..3", "5..4", "x", "1..2..3", "..", "-1", "1..101", "1e3", "9" * 5000])
def test_texts_that_are_no_steps(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(PLAN, tmp_path / "toy.json")
    assert answer(["run", str(tmp_path / "toy.json"), f"--profile={text}", "-o", str(tmp_path / "r")]) == 2
    assert "--profile" in capsys.readouterr().err


def test_only_torch_makes_traces(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot-profile: the machine `exact` makes no traces"):
        run(PLAN, tmp_path / "r", "exact", profile=(1, 1))


@pytest.mark.parametrize("fault", ["truncated", "no folder"])
def test_a_run_goes_on_without_its_trace(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(self: object, path: str) -> None:
        Path(path).write_text('{"traceEvents": [')

    monkeypatch.setattr(trace.profile, "export_chrome_trace", export)
    if fault == "no folder":
        monkeypatch.setattr(trace, "name_of", lambda steps: "none/trace.json")
    heard: list[Diagnostic] = []
    outcome, _ = go(PLAN, tmp_path, profile=(2, 2), warn=heard.append)
    assert outcome.finished
    assert outcome.trace is None
    assert [(each.code, each.severity) for each in heard] == [("cannot-write", "warning")]
    assert traces(tmp_path) == []
