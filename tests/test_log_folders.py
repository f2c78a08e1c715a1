"""Folders of logs as people have them: other files next to the logs, columns that not all have, shapes in paths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import fit_file
from shapeflow.doctor import examine
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Log
from shapeflow.laws.logs.runs import Run

FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: int) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def rows(width: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"step": step, "flops": step * FLOPS[width], "val_loss": loss(width, step), **more}
        for step in range(40, 4001, 40)
    ]


def paths() -> list[Path]:
    return [Path(f"runs/w{width}/log.csv") for width in FLOPS]


def constant_column() -> None:
    """Another axis has a column, in which all rows are alike."""
    for width, path in zip(FLOPS, paths(), strict=True):
        trainers.table(path, rows(width, depth=4))


def other_files() -> None:
    for width, path in zip(FLOPS, paths(), strict=True):
        trainers.table(path, rows(width))
        (path.parent / "README.md").write_text("# A run\n\nstep 3: fine, loss 2\n")
        (path.parent / "hparams.yaml").write_text("lr: 0.1\nseed: 1\n")
        (path.parent / "metrics.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    Path("runs/README.md").write_text("| width | loss |\n|---|---|\n| 64 | 2 |\n")
    Path("runs/args.json").write_text('{"lr": 0.1}')


def extra_columns() -> None:
    """Some runs logged more than others, also of what could be an axis or a run in other logs."""
    more: dict[int, dict[str, Any]] = {
        64: {"grad_norm": 0.5, "mfu": 0.4},
        128: {},
        256: {"note": "b", "train_loss": 2.0},
    }
    for width, path in zip(FLOPS, paths(), strict=True):
        trainers.table(path, rows(width, **more[width]))


def in_one_folder() -> None:
    for width in FLOPS:
        trainers.table(Path(f"runs/width{width}.csv"), rows(width))
    Path("runs/notes.txt").write_text("width 64 was run twice\n")
    Path("runs/config.yaml").write_text("depth: 4\n")


def nested_configuration() -> None:
    for width in FLOPS:
        folder = Path(f"runs/{'abc'[list(FLOPS).index(width)]}")
        folder.mkdir(parents=True)
        lines = [{"step": one["step"], "flops": one["flops"], "eval": {"loss": one["val_loss"]}} for one in rows(width)]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "config.json").write_text(json.dumps({"model": {"d_model": width, "n_layer": 4}}))


@pytest.mark.parametrize("write", [constant_column, other_files, extra_columns, in_one_folder, nested_configuration])
def test_a_folder_becomes_laws(write: Callable[[], None]) -> None:
    write()
    report = Report()
    (found,) = examine(["runs"], report).tables
    assert not report.errors
    assert found.sentences[0] == "axis width in [64, 128, 256] via width_expand"
    assert found.curves is not None
    assert (found.curves.runs, found.curves.points) == (3, (100, 100))
    Path("a.shape").write_text("metric loss\n" + "\n".join(found.sentences))
    _, fitted = fit_file(Path("a.shape"), (), report)
    assert not report.errors
    for shape, law in fitted.laws.items():
        width = int(shape.number("width"))
        assert law.provenance.spent == pytest.approx(4000 * FLOPS[width])
        assert law.error(4000 * FLOPS[width]) == pytest.approx(loss(width, 4000), rel=2e-3)


def test_the_work_on_a_folder_grows_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twice the files, twice as many are opened and looked at, and no point is compared with those of all runs."""
    counts: list[int] = []

    points, begin = Run.points.fget, Log._begin

    def looked(self: Run) -> Any:
        counts[-1] += 1
        assert points is not None
        return points(self)

    def opened(self: Log) -> None:
        counts[-1] += 1
        begin(self)

    monkeypatch.setattr(Run, "points", property(looked, Run.points.fset))
    monkeypatch.setattr(Log, "_begin", opened)
    shape = Shape.of({"width": 64})
    for files in (8, 16):
        folder = tmp_path / str(files)
        folder.mkdir()
        monkeypatch.chdir(folder)
        for seed in range(files):
            rows = "".join(f"{s},{s * 1e12},{(2 + 3 * s**-0.3 + seed / 999) / 9}\n" for s in range(10, 80, 10))
            Path(f"w64-s{seed}.csv").write_text("step,flops,test_error\n" + rows)
        counts.append(0)
        examine(["."], Report())
        counts.append(0)
        request = LawRequest((shape,), {"width": ""}, "classification_error", "flops", ".", {}, {})
        logs = read_logs(Query("w{width}-s{run}.csv"), request, Report())
        assert logs is not None
        assert len(logs.runs) == files
    assert counts[2] <= 2 * counts[0]
    assert counts[3] <= 2 * counts[1]
