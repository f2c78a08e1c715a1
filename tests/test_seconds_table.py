"""Tables of seconds per step that somebody stated, in place of a measured profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sources import compiled, written
from test_seconds import COARSE, FINE, FLOPS, PLANNED, profile_of, screen, steps_of, timed

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.cli import answer
from shapeflow.compiler import unprofiled
from shapeflow.ir import plan_json
from shapeflow.preview.plan import plan_view

FORMS = ("s.csv", "s.tsv", "s.json")


def table(folder: Path, slower: float, name: str = "s.csv", **columns: str) -> str:
    """The text of a plan with a table, in which a FLOP of the coarse patch takes `slower` times as long."""
    program = unprofiled(written(folder, PLANNED), (), Report())
    assert program is not None
    steps = {one.shape: one.pace.step for one in profile_of(program, {COARSE: slower}).candidates}
    rows = [{"patch": shape["patch"], "seconds per step": steps[shape], **columns} for shape in (FINE, COARSE)]
    sign = "\t" if name.endswith("tsv") else ", "
    lines = [sign.join(rows[0]), *(sign.join(map(str, row.values())) for row in rows)]
    (folder / name).write_text(json.dumps(rows) if name.endswith("json") else "\n".join(lines) + "\n\n")
    return f'{PLANNED}\nprofile from "{name}"\n'


@pytest.mark.parametrize("name", FORMS)
def test_stated_seconds_make_the_plan_of_measured_ones(name: str, tmp_path: Path) -> None:
    stated = compiled(tmp_path, table(tmp_path, 3.0, name), "budget 400 s")
    measured = compiled(tmp_path, timed(tmp_path, PLANNED, {COARSE: 3.0}), "budget 400 s")
    assert steps_of(stated) == steps_of(measured)
    assert stated.totals == measured.totals
    assert stated.comparison == measured.comparison
    assert {one.seconds_are for one in stated.candidates} == {"stated"}
    assert plan_json.loads(plan_json.dumps(stated), "plan.json") == stated
    assert "seconds_are" not in plan_json.dumps(measured)


def test_the_plan_and_its_answer_say_that_seconds_are_stated(tmp_path: Path) -> None:
    shown = " ".join(screen(plan_view(compiled(tmp_path, table(tmp_path, 3.0), "budget 400 s"))).split())
    assert "the seconds of steps are stated in `s.csv`, not measured" in shown
    assert "seconds stated in a table, not measured; the answer is only as good as they are" in shown
    # A plan by FLOPs predicts seconds, and its answer does not depend on them.
    assert "stated in a table" not in screen(plan_view(compiled(tmp_path, table(tmp_path, 3.0))))


def test_the_devices_of_a_table_are_paid_for(tmp_path: Path) -> None:
    """4 dollars pay for 400 s of one device at 36 dollars an hour, and for 50 s of eight."""
    for devices, seconds in (("1", 400), ("8", 50)):
        text = table(tmp_path, 3.0, devices=devices)
        plan = compiled(tmp_path, text, "minimise dollars(price: 36)", "budget 4 dollars")
        assert plan.totals.seconds == pytest.approx(seconds, rel=0.01)


def test_rows_of_other_shapes_are_not_used(tmp_path: Path) -> None:
    text = table(tmp_path, 3.0)
    plan = compiled(tmp_path, text)
    with (tmp_path / "s.csv").open("a") as file:
        file.write("8, 1e-4\n")
    assert compiled(tmp_path, text).candidates == plan.candidates
    assert plan.candidates[0].pace == pytest.approx(3 * FLOPS)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("patch,seconds per step\n4,-0.1\n2,0.2\n", "row 1: '-0.1' is not a number of seconds"),
        ("patch,seconds per step\n4,0.1\n2,nan\n", "row 2: 'nan' is not a number of seconds"),
        ("patch,seconds per step\n4,0.1\n2,inf\n", "row 2: 'inf' is not a number of seconds"),
        ("patch,seconds per step\n4,0\n2,0.2\n", "row 1: '0' is not a number of seconds"),
        ("patch,seconds per step\n4,1_0\n2,0.2\n", "row 1: '1_0' is not a number of seconds"),
        ("patch,seconds per step\n4,0.1\n2,0.2\n4,0.3\n", "rows 1 and 3 are of the same shape"),
        ("patch,seconds per step\n4.5,0.1\n2,0.2\n", "row 1: '4.5' is not a whole number, as `patch` has"),
        ("patch,seconds per step\nfine,0.1\n2,0.2\n", "row 1: 'fine' is not a whole number"),
        ("patch,seconds per step,color\n4,0.1,red\n2,0.2,red\n", "column `color` is not an axis"),
        ("patch,seconds per step,seconds\n4,0.1,1\n2,0.2,1\n", "columns `seconds per step` and `seconds`"),
        ("patch,patch,seconds\n4,4,0.1\n2,2,0.2\n", "two columns `patch`"),
        ("size,seconds\n4,0.1\n2,0.2\n", "no column `patch`"),
        ("patch\n4\n2\n", "no column `seconds per step`"),
        ("patch,seconds\n4,0.1,7\n2,0.2\n", "row 1 has 3 cells, and the header 2"),
        ("patch,seconds,devices\n4,0.1,8\n2,0.2,16\n", "steps on 8, 16 devices are not compared"),
        ("patch,seconds,devices\n4,0.1,half\n2,0.2,1\n", "'half' is not a number of devices"),
        ("patch,seconds\n", "it has no rows"),
        ("", "it is empty"),
        ('patch,seconds\n"4,0.1\n', "unexpected end of data"),
    ],
)
def test_tables_that_are_refused(rows: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(rows)
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, f'{PLANNED}\nprofile from "s.csv"\n')
    (found,) = refused.value.diagnostics
    assert found.code == "wrong-seconds"
    assert why in "\n".join(found.notes)
    assert found.help is not None
    assert "`patch` and `seconds per step`" in found.help


@pytest.mark.parametrize("text", ['[{"patch": 4, "seconds": true}]', "[1]", "[[]]", "[", '[{"patch": 4}, {}]', "[]"])
def test_lists_that_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, f'{PLANNED}\nprofile from "s.json"\n')
    assert [one.code for one in refused.value.diagnostics] == ["wrong-seconds"]


def test_a_table_is_neither_measured_nor_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, f'{PLANNED}\nprofile from "s.csv"\n')
    assert answer(["compile", str(file)]) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert f"write it, with the columns `patch` and `seconds per step`, or run `shapeflow profile {file}`" in shown
    assert answer(["profile", str(file), "-o", str(tmp_path / "s.csv")]) == 2
    assert "would be read as a table of stated seconds" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "s.csv").exists()


def test_a_table_without_a_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.csv").write_text("patch,seconds\n4,0.1\n")
    assert answer(["compile", str(written(tmp_path, f'{PLANNED}\nprofile from "s.csv"\n'))]) == 1
    shown = capsys.readouterr().err
    assert "error[incomplete-profile]: the table has no seconds of 1 of 2 candidates" in shown
    assert "write a row for each candidate, with the columns `patch` and `seconds per step`" in shown
