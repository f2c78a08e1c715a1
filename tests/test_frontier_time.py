"""`shapeflow frontier` of files that minimise time, or what follows from time: budgets are seconds or a coin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import written
from test_seconds import COARSE, FINE, PLANNED, timed

from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir.plan import Plan

EXAMPLES = Path(__file__).parent.parent / "examples"
GOLDEN = Path(__file__).parent / "golden" / "frontier"
BATCH, PROFILE = EXAMPLES / "batch.shape", 'profile from "profiles/batch_seconds.json"'
UNTIL = PLANNED.replace("budget 1 TFLOPs", "stop when error <= 0.35")


def shown(path: Path, sets: Sequence[str], arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    settings = [part for one in sets for part in ("--set", one)]
    capsys.readouterr()
    status = answer(["frontier", str(path), *settings, *arguments])
    said = capsys.readouterr()
    assert status == 0, said.err
    return said.out


def found(path: Path, sets: Sequence[str], arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(shown(path, sets, [*arguments, "--json"], capsys))["scheduled"]


def is_plan(way: Any, plan: Plan) -> bool:
    """Whether a way of the frontier has the stages, the seconds, the compute and the error of a plan."""
    shapes = [stage.shape.json() for stage in plan.stages]
    totals = plan.totals
    return bool(
        way["shapes"] == shapes
        and (way["seconds"], way["compute"], way["error"]) == (totals.seconds, totals.compute, totals.error)
    )


def refused(path: Path, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert answer(["frontier", str(path), *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return " ".join(said.err.split())


@pytest.mark.parametrize(
    ("minimise", "budget"),
    [("seconds", "20 s"), ("dollars(price: 36)", "0.2 dollars"), ("joules(watts: 100, pue: 1)", "2 kJ")],
)
def test_the_row_at_the_budget_of_compile_is_its_plan(
    minimise: str, budget: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By FLOPs the best fixed batch is 128 tokens, and the schedule goes from it to 512; by seconds they are others."""
    sets = [PROFILE, f"minimise {minimise}", f"budget {budget}"]
    plan = compile_file(BATCH, sets)
    (row,) = found(BATCH, sets, ["--budget", budget], capsys)["budgets"]
    assert [stage.shape["batch"] for stage in plan.stages] == [256, 512]
    assert is_plan(row["scheduled"], plan)
    assert row["seconds"] == pytest.approx(20)
    assert row["fixed"]["shapes"] == [{"batch": 512}]
    assert plan.answer is not None
    assert plan.answer.best is not None
    assert row["ratio"]["middle"] == 1 / (1 - plan.answer.best.middle)
    last = found(BATCH, sets, [], capsys)["budgets"][-1]
    assert {**last, "seconds": None} == {**row, "seconds": None}


def test_a_coin_is_the_time_that_it_pays_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, timed(tmp_path, PLANNED, {FINE: 3.0}))
    sets = ["minimise dollars(price: 36)", "budget 4 dollars"]
    by_coin, by_time = (found(path, sets, ["--budget", one], capsys) for one in ("2 dollars", "200 s"))
    assert by_coin == by_time
    assert by_coin["coin"] == {"is": "money", "per_second": 0.01}
    assert by_coin["budgets"][0]["seconds"] == 200
    assert by_coin["budgets"][0]["money"] == 2
    plain = found(path, ["minimise seconds", "budget 400 s"], ["--budget", "200 s"], capsys)
    ways = ("fixed", "scheduled", "ratio")
    assert [plain["budgets"][0][one] for one in ways] == [by_coin["budgets"][0][one] for one in ways]
    text = shown(path, sets, ["--budget", "2 dollars"], capsys)
    assert text.startswith("for 3.333 minutes (2 dollars): ")
    energy = ["minimise joules(watts: 100, pue: 1)", "budget 1 Wh"]
    assert found(path, energy, ["--budget", "1 Wh"], capsys)["budgets"][0]["seconds"] == 36


def test_the_best_fixed_shape_is_that_of_a_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A FLOP of the fine shape takes 20 times as long: its law (a, b, c) is (a 20^b, b, c) on the scale of seconds."""
    path = written(tmp_path, timed(tmp_path, PLANNED, {FINE: 20.0}))
    by_flops, by_time = (
        found(path, [one], ["--budget", budget], capsys)["budgets"][0]
        for one, budget in (("minimise flops", "1 TFLOPs"), ("budget 1000 s", "1000 s"))
    )
    assert by_flops["fixed"]["shapes"] == [FINE.json()]
    assert by_time["fixed"]["shapes"] == [COARSE.json()]
    assert by_time["fixed"]["seconds"] == pytest.approx(1000, rel=0.01)
    fine = 1e6 * 20**0.6 * 1e12**-0.6 + 0.05
    assert by_time["fixed"]["error"] == pytest.approx(2e5 * 1e12**-0.6 + 0.3, rel=0.01)
    assert by_time["fixed"]["error"] < fine


def test_a_target_alone_has_the_times_up_to_that_of_its_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, timed(tmp_path, UNTIL, {FINE: 20.0}))
    rows = found(path, ["minimise seconds"], [], capsys)["budgets"]
    plan = compile_file(path, ["minimise seconds"])
    assert rows[-1]["seconds"] == plan.totals.seconds
    assert is_plan(rows[-1]["scheduled"], plan)
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    assert all(row["scheduled"]["error"] <= row["fixed"]["error"] * (1 + 1e-9) for row in rows)


def test_budgets_in_another_unit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, timed(tmp_path, PLANNED))
    dollars = ["--set", "minimise dollars(price: 36)", "--set", "budget 4 dollars"]
    said = refused(path, ["--budget", "1 TFLOPs", *dollars], capsys)
    assert "1 TFLOPs is an amount of compute, and the file minimises money: write '2 dollars' or '20 s'" in said
    assert "write '20 s'" in refused(path, ["--budget", "1e9", "--set", "budget 20 s"], capsys)
    assert "'2 dollars'" in refused(path, ["--budget", "1 Wh", *dollars], capsys)
    assert "add `minimise seconds` and a `profile`" in refused(path, ["--budget", "20 s"], capsys)
    assert "add `minimise` with its price" in refused(path, ["--budget", "2 dollars"], capsys)
    for wrong in ("20 px", "0 s", "s", "1.2.3 s", "1e99 s"):
        refused(path, ["--budget", wrong, *dollars], capsys)


def test_the_picture_counts_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    names: list[str] = []
    real = Axes.set_xlabel
    monkeypatch.setattr(Axes, "set_xlabel", lambda axes, name, **more: (names.append(name), real(axes, name, **more)))
    path, plot = written(tmp_path, timed(tmp_path, PLANNED)), tmp_path / "frontier.png"
    shown(path, ["budget 400 s"], ["--plot", str(plot)], capsys)
    assert plot.stat().st_size > 1000
    assert names == ["time, s"] * 3


def sized(folder: Path, laws: Callable[[int], str], more: str) -> Path:
    """A file of four widths with a profile."""
    widths = (16, 32, 48, 64)
    model = "model transformer(depth: 2, head_width: 16, context: 64 tokens)\ndata python_source(batch: 512 tokens)\n"
    model += "objective next_token\nmetric loss\naxis width in [16, 32, 48, 64] via width_expand\n"
    return written(folder, timed(folder, model + more + "\n".join(map(laws, widths))))


def test_sizes_are_compared_at_equal_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sized(
        tmp_path,
        lambda w: f"law for (width: {w}) is power(a: {4000 * w**0.6:.6g}, b: 0.4, c: {8 / w:.6g})",
        "traversal steepest\nstart at error 20\nbudget 1 TFLOPs\n",
    )
    slices = found(path, ["budget 1000 s"], [], capsys)
    for row, one in zip(slices["budgets"], slices["slices"], strict=True):
        assert one["seconds"] == row["seconds"]
        assert one["size"][int(np.argmin(one["error"]))] == row["fixed"]["parameters"]
    assert "equal time, 100 s" in shown(path, ["budget 1000 s"], ["--budget", "100 s", "-v"], capsys)


def test_a_law_of_size_and_tokens_is_left_out_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["width,N,D,loss"]
    for width in (16, 32, 48, 64):
        for tokens in np.geomspace(1e5, 1e8, 20):
            size = 12 * 2 * width**2
            rows.append(f"{width},{size},{tokens:.6g},{1.8 + 50 / size**0.35 + 300 / tokens**0.37:.6f}")
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = 'form: chinchilla, axes: (width: "width"), compute: "6 * N * D", resamples: 30'
    path = sized(
        tmp_path, lambda w: "", f'laws from fit("runs.csv", {settings})\ntraversal steepest\nbudget 1 TFLOPs\n'
    )
    assert "parameters on" in shown(path, [], ["--budget", "1 TFLOPs"], capsys)
    by_time = shown(path, ["budget 1000 s"], ["--budget", "1000 s"], capsys)
    assert by_time.startswith("for 16.67 minutes: (width: ")
    assert "no best size of any value: a law of size and tokens counts FLOPs" in by_time
    assert "parameters on" not in by_time


def test_the_screen_of_a_file_by_flops_is_as_before(
    golden: Callable[[Path, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = ["--budget", "1 TFLOPs", "--budget", "300 GFLOPs"]
    golden(GOLDEN / "batch.txt", shown(BATCH, [PROFILE], budgets, capsys))
    rows = found(BATCH, [PROFILE], budgets, capsys)
    assert set(rows) == {"metric", "convention", "unproven", "too_far", "budgets", "slices"}
    for row in rows["budgets"]:
        assert set(row) == {"compute", "fixed", "scheduled", "ratio", "beyond", "doubts", "why"}
        assert set(row["scheduled"]) == {"shapes", "error", "interval", "seconds"}
