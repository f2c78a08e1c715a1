"""Which column is the error: one for all files of a fit, the same in `fit` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.doctor import examine
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query

WIDTHS = (64, 128, 256)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(step: float) -> float:
    return 1.5 + 9 * step**-0.4


def write(widest: dict[str, float], others: dict[str, float]) -> None:
    """Write a log for each width. `widest`, `others`: column of an error -> its multiple of the loss; 0: empty."""
    for width in WIDTHS:
        errors = widest if width == 256 else others
        trainers.table(
            Path(f"runs/width{width}.csv"),
            [
                {"step": at, "flops": at * 1e12 * width, **{one: loss(at) * by or "" for one, by in errors.items()}}
                for at in range(40, 1201, 40)
            ],
        )


def read(report: Report, metric: str = "loss@own", **more: Any) -> tuple[str | None, list[float]]:
    """The error column, and the last error of each run."""
    shapes = tuple(Shape.of({"width": width}) for width in WIDTHS)
    names: dict[Any, str] = {"error": "error"}
    request = LawRequest(shapes, {"width": ""}, metric, "flops", ".", {}, {}, unit="nats", setting_names=names)
    logs = read_logs(Query("runs/width{width}.csv", **more), request, report)
    if logs is None:
        return None, []
    return logs.error, [list(run.points.values())[-1].error for run in logs.runs.values()]


@pytest.mark.parametrize(
    ("widest", "others"),
    [
        ({"eval/wikitext_loss": 1.2}, {"eval/c4_loss": 1.0}),
        ({"loss": 0.97}, {"val_loss": 1.0}),
        ({"loss": 0.97}, {"loss": 0.97, "val_loss": 1.0}),
    ],
)
def test_files_of_different_error_columns_are_refused(widest: dict[str, float], others: dict[str, float]) -> None:
    write(widest, others)
    report = Report()
    assert read(report) == (None, [])
    (error,) = report.errors
    held = next(name for name in others if name != "loss")
    assert error.code == "mixed-laws"
    assert f'`error: "{held}"`' in (error.help or "")
    assert any("runs/width256.csv" in note for note in error.notes)


@pytest.mark.parametrize(
    ("widest", "others"),
    [
        ({"eval_loss": 1.1, "val/loss": 0.9, "val_loss": 1.0}, {"val_loss": 1.0}),
        ({"val_loss": 1.0, "error": 0.001}, {"val_loss": 1.0, "error": 0.001}),
        ({"val_loss": 1.0, "error": 0}, {"val_loss": 1.0, "error": 0}),
        ({"train_loss": 1.0, "error": 0.001}, {"train_loss": 1.0, "error": 0.001}),
    ],
)
def test_one_error_column_for_all_files(widest: dict[str, float], others: dict[str, float]) -> None:
    write(widest, others)
    column, ends = read(Report())
    assert column in ("val_loss", "train_loss")
    assert ends == pytest.approx([loss(1200)] * 3)
    (table,) = examine(["runs"], Report()).tables
    (laws,) = [one for one in table.sentences if one.startswith("laws")]
    assert "error:" not in laws or f'error: "{column}"' in laws


def test_few_held_out_errors_are_left_aside_as_doctor_does() -> None:
    write({"val_loss": 1.0, "eval_loss": 1.3}, {"val_loss": 1.0, "eval_loss": 1.3})
    for path in Path("runs").iterdir():
        head, *lines = path.read_text().splitlines()
        kept = [line if at % 6 == 0 else line.rpartition(",")[0] + "," for at, line in enumerate(lines)]
        path.write_text("\n".join([head, *kept]) + "\n")
    assert read(Report())[0] == "val_loss"


def test_the_fit_names_its_error_column(capsys: pytest.CaptureFixture[str]) -> None:
    write({"val_loss": 1.0}, {"val_loss": 1.0})
    Path("a.shape").write_text(
        "metric loss\naxis width in [64, 128, 256] via width_expand\n"
        'laws from fit("runs/width{width}.csv", resamples: 0)\ntraversal steepest\nbudget 10 PFLOPs\n'
    )
    answer(["fit", "a.shape", "--json"])
    assert json.loads(capsys.readouterr().out)["method"]["error column"] == "val_loss"
    answer(["fit", "a.shape"])
    assert "errors in `val_loss`" in capsys.readouterr().out


def test_flops_per_second_that_hardly_rise_are_no_compute() -> None:
    rows = [
        {"width": width, "step": at, "tflops": 300 + at / 1e3, "model_flops_utilization": 0.4 + at / 1e6,
         "val_loss": loss(at)}
        for width in WIDTHS for at in range(40, 1201, 40)
    ]  # fmt: skip
    trainers.table(Path("a.csv"), rows)
    roles = {one.name: one.role for one in examine(["a.csv"], Report()).tables[0].columns}
    assert roles["tflops"] == roles["model_flops_utilization"] == "rate"


def test_flops_per_second_of_a_run_table_are_no_compute() -> None:
    rows = [
        {"Name": f"{width}-{at}", "State": "finished", "Created": f"2025-01-01T00:{width // 8}:{at // 100}Z",
         "n_params": width * 10_000, "width": width, "tflops": 300 + width / 4 + at / 100, "tokens": at * 65536,
         "val/loss": loss(at)}
        for width in WIDTHS for at in (1000, 2000, 3000, 4000)
    ]  # fmt: skip
    trainers.table(Path("a.csv"), rows)
    (table,) = examine(["a.csv"], Report()).tables
    assert any('compute: "6 * n_params * tokens"' in one for one in table.sentences)
