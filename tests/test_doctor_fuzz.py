"""`shapeflow doctor` on absurd logs: it always answers, with bounded memory and without an exception."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.cli import answer
from shapeflow.doctor import Table, examine
from shapeflow.laws.logs.finding import summary as columns_module

NAN, INF = float("nan"), float("inf")
CELLS: list[Any] = [
    NAN, INF, -INF, 1e308, -1e308, 1e-320, 10**400, "", None, True, "abc", [], {}, [[1]], "[/x]", "[bold]", "\x1b[31m",
    "1e999", "x" * 5000, 0, -5, 64.5, " 64 ", "nan", "a\nb", "\x00", "64 px",
]  # fmt: skip
NAMES = ["[/x]", "\x1b[2J", "", "C", "N", "D", "tokens", "params", "zflops", "val/loss", "seed", "loss ", "\0file"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHAPEFLOW_DEBUG", "1")


def rows() -> list[dict[str, Any]]:
    return [
        {"run": f"r{width}", "width": width, "step": 10 * i, "compute": 1e15 * i * width, "lr": 1e-3, "loss": 2 + 5 / i}
        for width in (64, 128)
        for i in range(1, 20)
    ]


def spoiled(draw: random.Random) -> list[dict[str, Any]]:
    """Rows with absurd values in some cells or in a whole column."""
    found, names = rows(), list(rows()[0])
    whole = draw.random() < 0.3
    for _ in range(draw.choice([1, 5, 60])):
        name = draw.choice(names if draw.random() < 0.9 else NAMES)
        value = draw.choice(CELLS) if draw.random() < 0.7 else 10 ** draw.uniform(-320, 308)
        for row in found if whole else [draw.choice(found)]:
            row[name] = value
    draw.shuffle(found)
    return found


def only(name: str) -> Table:
    report = Report()
    (found,) = examine([name], report).tables
    assert not report.errors
    return found


@pytest.mark.parametrize("seed", range(60))
def test_absurd_cells_and_names(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)
    found = spoiled(draw)
    if draw.random() < 0.5:
        Path("a").write_text("".join(json.dumps(row) + "\n" for row in found))
    else:
        Path("a").write_text(json.dumps(found))
    for words in (["doctor", "a"], ["doctor", "a", "--json"]):
        status = answer(words)
        said = capsys.readouterr()
        assert (status == 1) == ("error[" in said.err)
        assert "\x1b" not in said.out + said.err


def test_a_row_with_half_a_character_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps(row) for row in rows()]
    Path("a.jsonl").write_text("\n".join([*lines[:3], '{"run": "\\ud800"}', *lines[3:]]) + "\n")
    assert only("a.jsonl").files[0].broken == 1
    Path("b.json").write_text('[{"\\ud800": 1}]')
    assert answer(["doctor", "b.json"]) == 1
    assert "half of a surrogate pair" in capsys.readouterr().err


def test_a_shape_is_whole_numbers_however_they_are_written() -> None:
    found = rows()
    for index, row in enumerate(found):
        row["width"] = float(row["width"]) if index % 2 else str(row["width"])
    found += [{**found[0], "width": width} for width in ("", "abc", "inf", 1e300, -64, 0, None)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    table = only("a.jsonl")
    assert table.curves is not None
    assert (table.curves.shapes, table.curves.runs) == (2, 2)


def test_rates_and_computes_that_are_not_numbers() -> None:
    found = rows()
    for row in found:
        row["lr"], row["step"] = NAN, row["step"]
    found[3]["compute"] = found[2]["compute"]
    found[5]["compute"], found[6]["compute"] = 1e308, 1e-320
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    table = only("a.jsonl")
    assert table.curves is not None
    assert table.curves.learning_rate is None
    assert table.curves.excluded == {"of no real size": 2}


def test_an_unlimited_number_of_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(columns_module, "WIDEST", 100)
    Path("a.jsonl").write_text("".join(f'{{"step": {i}, "c{i}": 1}}\n' for i in range(200)))
    assert answer(["doctor", "a.jsonl"]) == 1
    assert "more than 100 columns" in capsys.readouterr().err
    known: dict[str, columns_module.Column] = {}
    columns_module.columns_of(({f"c{i}": f"{i} {j}" for i in range(100)} for j in range(3000)), known)
    monkeypatch.setattr(columns_module, "VALUES", 1000)
    wide: dict[str, columns_module.Column] = {}
    columns_module.columns_of(({f"c{i}": f"{i} {j}" for i in range(100)} for j in range(300)), wide)
    assert sum(len(column.values) for column in known.values()) == 20_000
    assert sum(len(column.values) for column in wide.values()) < 6 * 1000


def test_pipes_devices_and_broken_links(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("a.csv")
    Path("b.csv").symlink_to("/dev/zero")
    Path("c.csv").symlink_to("c.csv")
    assert answer(["doctor", "a.csv", "b.csv", "c.csv", "."]) == 1
    assert capsys.readouterr().err.count("error[") == 4


def test_a_file_name_that_is_not_text(capsys: pytest.CaptureFixture[str]) -> None:
    Path(os.fsdecode(b"a\xff.csv")).write_text("width,step\n1,2\n")
    assert answer(["doctor", "*.csv"]) == 1
    assert "not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("plan", ["{", "[]", '{"stages": [{"shape": [["width", 64]]}]}', '{"stages": "abc"}', None])
def test_a_run_whose_plan_cannot_be_read(plan: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/events.jsonl").write_text('{"event": "measured", "step": 1, "compute": 1e15, "values": {"loss": 2}}\n')
    if plan is not None:
        Path("runs/a/plan.json").write_text(plan)
    assert answer(["doctor", "runs"]) == 1
    assert "contains no logs" in capsys.readouterr().err
