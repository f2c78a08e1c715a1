"""The benchmark of answers: its truths against closed forms, and its tables on known laws."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from shapeflow.base.shapes import Shape
from shapeflow.stages.assess.walked import Piece

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CHEAP, DEAR = Shape.of(width=1), Shape.of(width=2)


@pytest.fixture(scope="module")
def answers() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("answers")


def test_a_plan_on_known_curves(answers: ModuleType) -> None:
    """The laws of examples/laws_only.shape: the plan reaches error 0.25 after 11 FLOPs, and the best fixed shape after
    16."""
    truths = sys.modules["answers_truth"]
    truth = {CHEAP: truths.Known(1.0, 1.0, 0.2).truth(), DEAR: truths.Known(4.0, 1.0, 0.0).truth()}
    end = truths.end_of(truth, [Piece(CHEAP, 5.0), Piece(DEAR, 6.0)])
    assert math.exp(end) == pytest.approx(0.25, rel=1e-4)
    assert truths.least_fixed(truth, end) == pytest.approx(16.0, rel=1e-3)
    assert truths.possible(truth, math.log(1.2), end) == pytest.approx(1 - 11 / 16, abs=0.01)
    assert truths.end_of(truth, [Piece(DEAR, 1e6)]) is None


def test_a_smoothed_curve_is_that_of_its_run(answers: ModuleType) -> None:
    truths = sys.modules["answers_truth"]
    law = truths.Known(2.0, 0.45, 0.3)
    run = law.run(np.geomspace(1.0, 200.0, 50), 0.0, 1e-3, np.random.default_rng(0))
    for place in np.log([2.0, 20.0, 150.0]):
        assert truths.smoothed(run).error(place) == pytest.approx(law.truth().error(place), abs=2e-3)


def test_known_laws_give_a_table_and_goals(
    answers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(answers, "KNOWN", ("same b", "no floor"))
    monkeypatch.setattr(answers, "MASKS", (1,))
    monkeypatch.setattr(sys, "argv", ["answers", "--only", "known", "--known", "3", "--draws", "100"])
    assert answers.main() == 0
    out = capsys.readouterr().out
    rows = [line.split(" | ") for line in out.splitlines() if re.match(r"\| (same b|no floor) ", line)]
    # Curves without a floor, of which one is the best at every error: no plan has a switch.
    assert [(row[0], row[3].split()[0]) for row in rows] == [("| same b", "3"), ("| no floor", "3")]
    assert rows[1][3] == "3 (0)"
    goals = [line for line in out.splitlines() if line.startswith(("PASS", "FAIL"))]
    assert all(line.startswith("PASS") for line in goals if " right" in line)
    assert any("no right about any plan 1.00" in line for line in goals)
