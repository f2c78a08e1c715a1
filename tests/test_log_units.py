"""Columns in units that names do not state, and rows that were not measured: what is wrong is not fitted silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Report
from shapeflow.doctor import Table, examine
from shapeflow.laws.logs.finding import words

FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: int) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def looked(**more: Any) -> Table:
    """What doctor finds in a sweep. `more`: name -> the cell at a width and a step."""
    rows = [
        {"width": width, "val_loss": loss(width, step)} | {name: cell(width, step) for name, cell in more.items()}
        for width in FLOPS
        for step in range(40, 4001, 40)
    ]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    return found


def test_small_tokens_are_in_an_unknown_unit() -> None:
    found = looked(tokens=lambda w, s: s * 65536 / 1e9)
    assert not found.sentences
    assert any("a unit that its name does not state" in line for line in found.advice)


def test_a_logarithm_is_no_amount() -> None:
    assert not looked(log10_flops=lambda w, s: len(str(s)) + s / 1e4 + 14).sentences
    assert words.flops_of("FLOPs (1e15)") == 1e15
    assert words.flops_of("compute_exaflops") == 1e18
    assert not words.is_error("val/loss_sum")


def test_flags_of_held_out_rows_select_them() -> None:
    found = looked(step=lambda w, s: s // 80 * 80 + 40, is_eval=lambda w, s: int(s % 80 == 0))
    assert any('where: (is_eval: "1")' in line for line in found.sentences) or not found.sentences


def test_marks_and_carried_values_are_left_out() -> None:
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: loss(w, s) if s % 120 == 0 else 999)
    assert found.curves is not None
    assert found.curves.error[1] < 20
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: loss(w, max(s // 400 * 400, 40)))
    assert found.curves is not None
    assert found.curves.points[1] == 11


def test_steps_that_begin_again_beside_compute() -> None:
    found = looked(step=lambda w, s: s if s <= 2000 else s - 2000, flops=lambda w, s: s * FLOPS[w])
    assert found.curves is not None
    assert (found.curves.points, found.curves.restarted) == ((100, 100), 0)


def test_shares_of_a_few_images_repeat_and_are_kept() -> None:
    """Each of the 100 errors was measured, although most equal the one before."""
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: round(360 * (0.05 + 9 / s)) / 360)
    assert found.curves is not None
    assert found.curves.points == (100, 100)
