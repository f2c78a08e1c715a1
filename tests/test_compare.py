"""`shapeflow compare` from the command line, with small runs on a CPU."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.cli import answer
from shapeflow.ir.events import Measured
from shapeflow.preview.comparison import verdict
from shapeflow.running.rivals import Past
from shapeflow.running.rivals.read import read_comparison
from shapeflow.running.runs import Run
from shapeflow.running.sweep import sweep_jobs
from shapeflow.running.training import training

BATCHES = """\
plan "tiny batches"

model      vit(depth: 1, width: 16, patch: 4 px, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
metric     cross_entropy

axis batch in [16, 32, 64] via batch_resize

stage (batch: 16) until 50%
stage (batch: 64) until end

budget     60 MFLOPs
evaluate   every 5%
checkpoint every 50%
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("batches.shape").write_text(BATCHES, encoding="utf-8")
    return tmp_path


def compare(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    """The JSON of a comparison, and what was printed on stderr."""
    capsys.readouterr()
    status = answer(["compare", *words, "--device", "cpu", "--jobs", "1", "--json"])
    said = capsys.readouterr()
    assert status == 0, said.err
    return json.loads(said.out), said.err


def test_a_file_without_laws_and_without_blends(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`random` is left out; the best of three batches is found by training: two of them are trained for the whole
    budget."""
    found, said = compare(capsys, "batches.shape", "-o", "out")
    assert [way["name"] for way in found["ways"]] == ["plan", "last", "best"]
    assert [one["name"] for one in found["left_out"]] == ["random"]
    assert "warning[rival-left-out]: the rival `random` is left out: a stage in (batch: 64)" in said
    assert [len(one["values"]) for one in found["choice"]["rounds"]] == [3, 2]
    first, last = found["choice"]["rounds"]
    for one in (first, last):
        values = [each["value"] for each in one["values"]]
        assert values == sorted(values)
    assert found["choice"]["shape"] == last["values"][0]["shape"]
    assert found["choice"]["runs"] == 3
    assert {each["shape"]["batch"] for each in last["values"]} < {16, 32, 64}
    again, said = compare(capsys, "batches.shape", "-o", "out")
    assert again == found
    assert ": done" not in said
    read = read_comparison(Path("out"))
    assert json.loads(json.dumps({"verdict": verdict(read), **read.json()})) == found


def test_the_report_of_a_comparison_shows_all_that_the_screen_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["compare", "batches.shape", "-o", "out", "--device", "cpu", "--jobs", "1"]) == 0
    screen = capsys.readouterr().out
    assert answer(["report", "out", "-o", "report.html"]) == 0
    shown = _words(re.sub("<[^>]*>", " ", html.unescape(Path("report.html").read_text())))
    after = screen[screen.index("measured") : screen.index("runs and comparison.json")]
    missing = [word for word in _words(after) if word not in shown]
    assert not missing


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,;:]+", text)


def test_runs_of_a_sweep_are_used_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep with twice the budget and other evaluations: it contains all that the fixed shapes need up to the plan's
    compute. The seed must be the same."""
    sweep = ["sweep", "batches.shape", "--budget", "150 MFLOPs", "-o", "sweep", "--device", "cpu", "--jobs", "1"]
    assert answer(sweep) == 0
    found, said = compare(capsys, "batches.shape", "-o", "out", "--rival", "best", "--runs", "sweep")
    assert found["choice"]["runs"] == 0
    assert found["choice"]["compute"] == 0
    assert said.count(": done") == 1, "the plan alone is trained"
    best = found["choice"]["shape"]["batch"]
    assert found["ways"][1]["runs"] == [f"sweep/batch{best}-seed0"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["comparison.json", "plan-seed0"]


def test_runs_that_do_not_serve_are_not_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["compare", "batches.shape", "--runs", "nowhere", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["code"] == "no-run"


@pytest.mark.parametrize(
    ("steps", "pause", "until", "seed", "serves"),
    [
        (100, 100, None, 0, True),
        (100, 101, None, 0, False),
        (100, None, None, 0, False),
        (100, None, ("cross_entropy", 0.5), 0, True),
        (100, None, ("cross_entropy", 0.4), 0, False),
        (100, 50, None, 1, False),
    ],
)
def test_a_run_must_be_long_enough(
    folder: Path, steps: int, pause: int | None, until: tuple[str, float] | None, seed: int, serves: bool
) -> None:
    """A run of 100 steps that ends at 0.5."""
    (whole, *_), (short, *_) = (
        sweep_jobs(folder / "batches.shape", [f"budget {budget} steps"], [0], folder, Report())
        for budget in (400, steps)
    )
    stage = short.plan.stages[0]
    events = Measured(steps, 0, stage.shape, steps * stage.cost, None, {"cross_entropy": 0.5}, 1.0)
    past = Past({training(short.plan): (Run(folder, short.plan, (events,)),)})
    plan = attrs.evolve(whole.plan, seed=seed)
    found = past.find(attrs.evolve(whole, plan=plan, pause=pause, until=until), "cross_entropy")
    assert (found is not None) == serves
    assert past.find(attrs.evolve(whole, pause=1), "classification_error") is None


def test_a_longer_run_is_cut_where_the_job_ends(folder: Path) -> None:
    (long, *_), (job, *_) = (
        sweep_jobs(folder / "batches.shape", [f"budget {steps} steps"], [0], folder, Report()) for steps in (100, 40)
    )
    stage = long.plan.stages[0]

    def steps(until: tuple[str, float] | None, *measured: int) -> list[int] | None:
        events = [Measured(n, 0, stage.shape, n * stage.cost, None, {"cross_entropy": 1 / n}, 1.0) for n in measured]
        past = Past({training(long.plan): (Run(folder, long.plan, tuple(events)),)})
        found = past.find(attrs.evolve(job, until=until), "cross_entropy")
        return None if found is None else [event.step for event in found.measured]

    assert steps(None, 20, 40, 80) == [20, 40]
    assert steps(None, 20, 60, 80) is None
    assert steps(("cross_entropy", 1 / 20), 10, 20, 30, 40, 80) == [10, 20]
    assert steps(("cross_entropy", 1 / 60), 10, 40, 60, 80) == [10, 40]


def test_a_compiled_plan_is_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidates in which it trains are its rivals."""
    assert answer(["compile", "batches.shape", "-o", "plan.json"]) == 0
    found, _ = compare(capsys, "plan.json", "-o", "out", "--seeds", "0,1")
    assert [way["name"] for way in found["ways"]] == ["plan", "last", "best"]
    assert [one["name"] for one in found["left_out"]] == ["fixed (batch: 32)", "random"]
    assert [len(one["values"]) for one in found["choice"]["rounds"]] == [2]
    assert found["seeds"] == [0, 1]
    saving = found["ways"][2]["saving"]
    if saving is not None:
        assert saving["low"] <= saving["mean"] <= saving["high"]
    assert answer(["compare", "plan.json", "--seed", "3"]) == 1
    assert "plan-is-final" in capsys.readouterr().err
