"""Logs in the format of each trainer: doctor's sentences, pasted, fit the same laws to all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trainers
from sources import resolved, written
from trainers import EPOCH, EPOCHS, TRAINERS, WIDTHS, Truth

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import fit_file
from shapeflow.doctor import Table, examine

MODEL = """
model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)
data python_source(batch: 65536 tokens)
objective next_token
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    text = MODEL + "axis width in [64, 128, 256] via width_expand\ntraversal evenly\nbudget 100 steps\n"
    found = resolved(tmp_path, text + "".join(f"law for (width: {w}) is power(a: 4, b: 0.3)\n" for w in WIDTHS))
    assert found.trained is not None
    return Truth({width: found.trained.cost(Shape.of(width=width)) for width in WIDTHS})


def examined(unit: Amount | None) -> Table:
    report = Report()
    found = examine(["runs"], report, unit)
    assert not report.diagnostics
    (table,) = found.tables
    return table


@pytest.mark.parametrize("write", TRAINERS, ids=lambda write: str(write.__name__))
def test_the_sentences_of_doctor_fit_the_laws_of_the_logs(tmp_path: Path, truth: Truth, write: Any) -> None:
    write(tmp_path / "runs", truth)
    found = examined(Amount(float(EPOCH), "steps") if write in EPOCHS else None)
    assert found.sentences, found.advice
    assert found.curves is not None
    assert (found.curves.shapes, found.curves.runs) == (3, 3)
    report = Report()
    _, fitted = fit_file(written(tmp_path, MODEL + "\n".join(found.sentences)), (), report)
    assert not report.errors
    assert [shape["width"] for shape in fitted.laws] == list(WIDTHS)
    for shape, law in fitted.laws.items():
        width = shape.number("width")
        about = law.provenance
        assert about.spent == pytest.approx(4000 * truth.flops[int(width)], rel=0.01)
        for step in (400, 1000, 4000):
            expected = truth.loss(int(width), step)
            assert law.error(step * truth.flops[int(width)]) == pytest.approx(expected, rel=2e-3)
        assert about.learning_rate in ("constant", None)


@pytest.mark.parametrize("write", EPOCHS, ids=lambda write: str(write.__name__))
def test_epochs_are_steps_only_if_their_length_is_known(tmp_path: Path, truth: Truth, write: Any) -> None:
    write(tmp_path / "runs", truth)
    found = examined(None)
    assert found.sentences == ()
    assert any('`step: "epoch", step_unit: 40 steps`' in line for line in found.advice)
    assert {column.name: column.role for column in found.columns}["epoch"] == "epochs"


def test_a_table_of_runs_is_proposed_as_ends(tmp_path: Path, truth: Truth) -> None:
    rows = [
        {"Name": f"run-{width}-{step}", "d_model": width, "step": step, "val/loss": held}
        for width in WIDTHS
        for step, held, _ in truth.points(width)
    ]
    trainers.table(tmp_path / "runs" / "table.csv", rows)
    found = examined(None)
    assert "points: ends" in found.sentences[1]
    assert any("the end of a run that finished its own schedule" in line for line in found.advice)


def test_a_table_of_wandb_runs_becomes_laws_over_ends(tmp_path: Path, truth: Truth) -> None:
    trainers.wandb_runs(tmp_path / "runs", truth)
    found = examined(None)
    (file,) = found.files
    assert file.rows == 15
    assert not file.sampled
    assert any("3 runs did not finish and are left out: 1 crashed, 1 running, 1 failed" in one for one in file.notes)
    assert any("`val/loss` is the last value there" in line for line in found.advice)
    laws = found.sentences[1]
    # Names are given twice, so the times at which runs were created tell them apart.
    assert 'points: ends, run: "Created", axes: (width: "d_model")' in laws
    report = Report()
    _, fitted = fit_file(written(tmp_path, MODEL + "\n".join(found.sentences)), (), report)
    assert not report.errors
    (left_out,) = [one for one in report.diagnostics if one.code == "unfinished-runs"]
    assert left_out.message.startswith("3 runs")
    for shape, law in fitted.laws.items():
        width = int(shape.number("width"))
        assert (law.provenance.learning_rate, law.provenance.runs) == ("annealed", 5)
        for step in (250, 1000, 4000, 8000):
            expected = truth.loss(width, step)
            assert law.error(step * truth.flops[width]) == pytest.approx(expected, rel=2e-3)


def test_a_column_called_state_is_not_one_of_wandb(tmp_path: Path, truth: Truth) -> None:
    rows = [{"State": "failed", "d_model": 64, "step": step, "val/loss": held} for step, held, _ in truth.points(64)]
    trainers.table(tmp_path / "runs" / "table.csv", rows)
    assert examined(None).files[0].rows == len(rows)


def test_ends_at_too_few_lengths_are_not_proposed(tmp_path: Path, truth: Truth) -> None:
    rows = [
        {"Name": f"run-{width}-{seed}", "State": "finished", "d_model": width, "flops": 1e15 * width, "val/loss": 3.0}
        for width in WIDTHS
        for seed in range(2)
    ]
    trainers.table(tmp_path / "runs" / "table.csv", rows)
    found = examined(None)
    assert found.sentences == ()
    assert any("runs of 3 lengths for each shape" in line for line in found.advice)
