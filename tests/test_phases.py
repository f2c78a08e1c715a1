"""`shapeflow phases`: the answer, its JSON and its picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shapeflow.cli import answer
from shapeflow.laws.random_features.theory import Theory

ASKED = ["phases", "--alpha", "1", "--beta", "0.7"]


def test_the_first_line_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(ASKED) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "phase II: the best width grows as compute^0.412, and the loss falls as compute^-0.706"
    assert lines[1] == "  limits    directions that SGD has not learned yet, F_pp(r)"
    assert "0.2 away in the plane of alpha and beta: 2 beta = 1, beyond it phase Ia" in lines[3]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        answer([*ASKED, "--budget", "1 MFLOPs", "--budget", "1e3", "--width", "256", "--width", "2048", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["phase"], found["balance"], found["boundary"]["beyond"]) == ("II", ["descent", "distortion"], "Ia")
    assert found["width_exponent"] == pytest.approx(0.7 / 1.7)
    million, thousand = found["budgets"]
    assert million["width"] == pytest.approx(438, rel=0.02)
    assert million["steps"] == pytest.approx(1e6 / million["width"])
    narrow, wide = found["widths"]
    assert narrow["losses"][0] == pytest.approx(Theory(1.0, 0.7).curve(256).error(1e6))
    assert million["loss"] < min(narrow["losses"][0], wide["losses"][0])
    assert wide["losses"][1] is None  # less than a step
    assert thousand["loss"] < narrow["losses"][1]
    assert narrow["step"] < narrow["largest_step"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--alpha", "0.4", "--beta", "0.9"], "beware    below 2 alpha = 1"),
        (["--alpha", "0.8", "--beta", "0.5"], "on 2 beta = 1: losses have additional powers of log(compute)"),
        (["--alpha", "0.3", "--beta", "0.22"], "2 alpha + 2 beta = 1, where the theory ends"),
        ([*ASKED[1:], "--features", "100", "--budget", "1 PFLOPs"], "(limit)"),
    ],
)
def test_what_else_it_says(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["phases", *arguments]) == 0
    assert says in capsys.readouterr().out


def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "phases.svg"
    extra = ["--budget", "1 MFLOPs", "--width", "64", "--width", "256", "--features", "600"]
    assert answer([*ASKED, *extra, "--plot", str(path)]) == 0
    assert f"plot written to {path}" in capsys.readouterr().out
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    "extra",
    [
        ["--budget", "1 px"],
        ["--budget", "1.2.3"],
        ["--budget", "-1"],
        ["--ratio", "1"],
        ["--step", "0"],
        ["--step-times-trace", "nan"],
        ["--width", "0"],
    ],
)
def test_arguments_that_are_none(extra: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer([*ASKED, *extra]) == 2
    assert extra[0] in capsys.readouterr().err


def test_the_best_width_next_to_widths_at_which_the_loss_rises(capsys: pytest.CaptureFixture[str]) -> None:
    """No parabola goes through a width without a loss."""
    assert answer(["phases", "--alpha", "0.01", "--beta", "0.7", "--budget", "1 GFLOPs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["budgets"]
    curve = Theory(0.01, 0.7).curve(found["width"])
    assert found["loss"] == pytest.approx(curve.error(1e9))
