"""`shapeflow show PLAN PLAN`: what differs between two plans, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from sources import compiled
from test_seconds import COARSE, FINE, PLANNED, screen, timed

from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir import plan_json
from shapeflow.preview.difference import Row, differences, differences_view, headline

NAMES = ("a.json", "b.json")


def test_equal_plans_do_not_differ(tmp_path: Path) -> None:
    plan = compiled(tmp_path, PLANNED)
    assert differences(plan, plan) == []
    assert screen(differences_view(plan, plan, NAMES)) == "the plans are the same\n"
    noted = plan_json.sealed(attrs.evolve(plan, notes=(*plan.notes, "a note")))
    assert screen(differences_view(plan, noted, NAMES)).startswith("the plans train the same")


def test_a_plan_that_trains_differently_is_never_called_the_same(tmp_path: Path) -> None:
    """By another setting of a transition, another rate, and a field that has no row."""
    text = PLANNED.replace("traversal steepest\n", "")
    text += "stage (patch: 4 px) until 40%\nstage (patch: 2 px) until end\n"
    plan = compiled(tmp_path, text)
    reset = compiled(tmp_path, text.replace("preview: 0%", "preview: 0%, moments: reset"))
    (row,) = differences(plan, reset)
    assert row.what == "  before (patch: 2 px)"
    assert "moments reset" in row.second
    faster = attrs.evolve(plan, stages=(attrs.evolve(plan.stages[0], learning_rate=2.0), *plan.stages[1:]))
    (row,) = differences(plan, faster)
    assert (row.first, row.second) == ("x 1", "x 2")
    apart = plan_json.sealed(attrs.evolve(plan, apart=(*plan.apart, "width")))
    assert differences(plan, apart) == []
    assert screen(differences_view(plan, apart, NAMES)).startswith("the plans train differently")


def test_stages_with_other_shares_are_of_the_same_shape(tmp_path: Path) -> None:
    text = PLANNED.replace("[4, 2] px", "[8, 4, 2] px").replace("traversal steepest\n", "").partition("law for")[0]
    three = text.replace("preview: 0%", "preview: 10%") + "budget 1 GFLOPs\n"
    three += "".join(f"stage (patch: {size} px) until {end}\n" for size, end in ((8, "20%"), (4, "60%"), (2, "end")))
    two = text.replace("preview: 0%", "preview: 20%") + "budget 1 GFLOPs\n"
    two += "".join(f"stage (patch: {size} px) until {end}\n" for size, end in ((4, "60%"), (2, "end")))
    rows = differences(compiled(tmp_path, three), compiled(tmp_path, two))
    assert [row.what for row in rows if row.change in ("new", "left out")] == ["(patch: 8 px)"]


def test_the_order_of_stages_is_that_of_both_plans(tmp_path: Path) -> None:
    both = compiled(tmp_path, PLANNED)
    coarse, fine = both.stages
    swapped = attrs.evolve(both, stages=(attrs.evolve(coarse, shape=Shape.of(patch=8)), fine))
    whats = [row.what for row in differences(both, swapped) if row.what.startswith("(")]
    assert whats[:2] == ["(patch: 4 px)", "(patch: 8 px)"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((0.0, 5.0), "5 seconds, where the first takes none"),
        ((0.0, 0.0), "as many seconds"),
        ((1.0, 1e-3), "0.001 times"),
        ((1.0, 0.75), "25% fewer seconds"),
        ((1000.0, 1000.2), "as many seconds"),
    ],
)
def test_amounts_in_words(seconds: tuple[float, float], said: str, tmp_path: Path) -> None:
    plan = compiled(tmp_path, PLANNED)
    first, second = (
        attrs.evolve(plan, totals=attrs.evolve(plan.totals, compute=None, seconds=each)) for each in seconds
    )
    assert headline(first, second).startswith("the second plan takes")
    assert said in headline(first, second)
    changes = [row.change for row in differences(first, second) if row.what == "time"]
    assert "+0.0%" not in changes


def test_stages_of_the_same_shape_stand_side_by_side(tmp_path: Path) -> None:
    """A longer plan makes as many steps in the coarse patch, and more in the fine one."""
    short, long = (compiled(tmp_path, PLANNED, f"budget {budget}") for budget in ("1 TFLOPs", "3 TFLOPs"))
    (row,) = [row for row in differences(short, long) if row.what == "(patch: 2 px)"]
    more = (long.stages[1].steps or 0) - (short.stages[1].steps or 0)
    assert row.change == f"{more:,} steps more".replace(",", " ")
    assert not any(row.what == "(patch: 4 px)" for row in differences(short, long))
    assert headline(short, long).startswith("the second plan takes 3 times the FLOPs; it ends at a predicted ")
    assert headline(long, short).startswith("the second plan takes 0.333 times the FLOPs")
    assert headline(short, short).endswith(", as the first")


def test_a_switch_that_moved_says_by_how_much(tmp_path: Path) -> None:
    by = [f"stage (patch: 4 px) until {share}%\nstage (patch: 2 px) until end\n" for share in (40, 50)]
    text = PLANNED.replace("traversal steepest\n", "")
    first, second = (compiled(tmp_path, text + stages) for stages in by)
    moved = second.stages[1].first_step - first.stages[1].first_step
    assert moved > 0
    changes = {row.what: row.change for row in differences(first, second)}
    assert changes["(patch: 4 px)"] == f"{moved:,} steps more".replace(",", " ")
    assert changes["(patch: 2 px)"].endswith(f"begins {moved:,} steps later".replace(",", " "))


def test_a_stage_that_one_plan_lacks(tmp_path: Path) -> None:
    both = compiled(tmp_path, PLANNED)
    fine = compiled(tmp_path, PLANNED, "traversal fixed((patch: 2 px))")
    rows = {row.what: row for row in differences(both, fine)}
    assert (rows["(patch: 4 px)"].second, rows["(patch: 4 px)"].change) == ("-", "left out")
    assert rows["(patch: 2 px)"].change.endswith(" earlier")
    back = {row.what: row for row in differences(fine, both)}
    assert (back["(patch: 4 px)"].first, back["(patch: 4 px)"].change) == ("-", "new")


def test_laws_seconds_and_costs_that_differ(tmp_path: Path) -> None:
    dollars = ("minimise dollars(price: 36)", "budget 4 dollars")
    first = compiled(tmp_path, timed(tmp_path, PLANNED), *dollars)
    slower = timed(tmp_path, PLANNED.replace("c: 0.05", "c: 0.06"), {FINE: 2.0})
    second = compiled(tmp_path, slower, *dollars)
    rows = {row.what: row for row in differences(first, second)}
    assert rows["law of (patch: 2 px)"].second == "a 1e+06, b 0.6, c 0.06, d 0"
    assert rows["step in (patch: 2 px)"].change == "+100.0%"
    assert "step in (patch: 4 px)" not in rows
    cheaper = compiled(tmp_path, timed(tmp_path, PLANNED), "minimise dollars(price: 36)", "budget 2 dollars")
    assert Row("cost", "4 dollars", "1.999 dollars") in differences(first, cheaper)


def test_what_two_plans_minimise_and_by_which_seconds(tmp_path: Path) -> None:
    """A saving of time is not set against one of FLOPs without a word."""
    text = timed(tmp_path, PLANNED, {FINE: 2.0})
    by_flops, by_time = (compiled(tmp_path, text, budget) for budget in ("budget 1 TFLOPs", "budget 400 s"))
    priced = compiled(tmp_path, text, "budget 400 s", "minimise dollars(price: 36)")
    rows = {row.what: row for row in differences(by_flops, by_time)}
    assert rows["minimise"] == Row("minimise", "FLOPs", "seconds")
    saving = rows["saving over the last shape"]
    assert saving.first.endswith(" of the FLOPs")
    assert saving.second.endswith(" of the time")
    assert "profile" not in rows
    assert Row("minimise", "seconds", "dollars(price: 36.0)") in differences(by_time, priced)
    (row,) = [row for row in differences(compiled(tmp_path, PLANNED), by_flops) if row.what == "profile"]
    assert row.first == "none"
    assert row.second.startswith("p.json, SHA-256 ")


def test_settings_are_told_as_in_a_file(tmp_path: Path) -> None:
    first = compiled(tmp_path, PLANNED, "traversal steepest(stage_at_least: 10%)")
    second = compiled(tmp_path, PLANNED, "traversal steepest(stage_at_least: 20%)")
    assert Row("traversal, stage_at_least", "10%", "20%") in differences(first, second)


def test_plans_of_other_metrics_are_not_compared_by_their_errors(tmp_path: Path) -> None:
    plan = compiled(tmp_path, PLANNED)
    other = attrs.evolve(plan, metric="loss")
    assert "they predict different metrics" in headline(plan, other)
    assert not any(row.what.startswith("predicted") for row in differences(plan, other))


def test_laws_alone(tmp_path: Path) -> None:
    """Plans without a model have no steps."""
    text = """
        axis width in [16, 32] via width_expand
        law for (width: 16) is power(a: 2e5, b: 0.6, c: 0.3, d: 0)
        law for (width: 32) is power(a: 1e6, b: 0.6, c: 0.05, d: 0)
        start at error 2.3
        traversal steepest
    """
    first, second = (compiled(tmp_path, text, f"budget {budget}") for budget in ("1 TFLOPs", "2 TFLOPs"))
    rows = {row.what: row for row in differences(first, second)}
    assert rows["compute"].change == "+100.0%"
    assert rows["(width: 32)"].second.endswith("TFLOPs, to " + rows["(width: 32)"].second.rpartition("to ")[2])


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, budget in zip(NAMES, ("1 TFLOPs", "3 TFLOPs"), strict=True):
        plan_json.save(compiled(tmp_path, PLANNED, f"budget {budget}"), tmp_path / name)
    paths = [str(tmp_path / name) for name in NAMES]
    assert answer(["show", *paths, *["--json"] * as_json]) == 0
    shown = capsys.readouterr().out
    if as_json:
        (row,) = [row for row in json.loads(shown) if row["what"] == "compute"]
        assert row["change"] == "3 times"
    else:
        assert shown.startswith("the second plan takes 3 times the FLOPs")
        assert COARSE.written({"patch": "px"}) not in shown
