"""What doctor proposes for logs, pasted, fits without a change; or doctor says why it proposes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Report
from shapeflow.compiler import fit_file
from shapeflow.doctor import Table, examine
from shapeflow.ir.law import Law

FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}
BATCHES = {64: 32, 128: 64, 256: 64}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def rows(width: int, **more: Any) -> list[dict[str, Any]]:
    return [{"step": s, "flops": s * FLOPS[width], "val_loss": loss(width, s), **more} for s in range(40, 4001, 40)]


def table(*names: str) -> Table:
    report = Report()
    (found,) = examine(names, report).tables
    assert not report.errors
    return found


def law(found: Table) -> str:
    return next(one for one in found.sentences if one.startswith("laws from"))


def pasted(found: Table, model: str = "") -> Mapping[Any, Law]:
    """The laws that the proposed sentences fit, which are those that the curves were made with."""
    Path("a.shape").write_text(model + "\n".join(found.sentences))
    report = Report()
    _, fitted = fit_file(Path("a.shape"), (), report)
    assert not report.errors
    for shape, one in fitted.laws.items():
        width = int(shape.number("width"))
        assert one.error(4000 * FLOPS[width]) == pytest.approx(loss(width, 4000), rel=2e-3)
    return fitted.laws


@pytest.mark.parametrize("name", ["batch", "batch_size", "tokens_per_step", "seq_len"])
@pytest.mark.parametrize("path", ["w{w}.csv", "runs/width{w}/log.csv", "w{w}_bs{b}.csv"])
def test_a_column_of_batches_hides_no_width_of_the_paths(name: str, path: str) -> None:
    for width, batch in BATCHES.items():
        trainers.table(Path("logs", path.format(w=width, b=batch)), rows(width, **{name: batch}))
    found = table("logs")
    assert "axis width in [64, 128, 256] via width_expand" in found.sentences
    assert len(pasted(found)) == 3


def test_a_column_of_batches_hides_no_width_of_the_configurations() -> None:
    for width, batch in BATCHES.items():
        folder = Path("logs", "abc"[list(BATCHES).index(width)])
        trainers.table(folder / "log.csv", rows(width, batch_size=batch))
        (folder / "config.json").write_text(json.dumps({"n_embd": width, "batch_size": batch}))
    found = table("logs")
    assert 'axes: (batch: "batch_size", width: "n_embd")' in law(found)
    assert len(pasted(found)) == 3


def test_a_depth_of_the_configurations_stands_next_to_a_width_of_the_paths() -> None:
    for width, depth in {64: 2, 128: 4, 256: 4}.items():
        folder = Path("logs", f"w{width}")
        trainers.table(folder / "log.csv", rows(width))
        (folder / "config.json").write_text(json.dumps({"n_layer": depth}))
    assert {name for shape in pasted(table("logs")) for name in shape} == {"width", "depth"}


def test_a_counter_that_is_called_like_an_axis_hides_no_axis() -> None:
    for width in FLOPS:
        found = [{"batch": row.pop("step"), **row} for row in rows(width)]
        trainers.table(Path("logs", f"w{width}.csv"), found)
    assert 'fit("logs/w{width}.csv", step: "batch")' in law(table("logs"))
    assert len(pasted(table("logs"))) == 3
