"""The savings over budgets of a report, with their intervals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_page import page_of

from shapeflow import compile as compile_plan
from shapeflow.compiler import savings_over_budgets
from shapeflow.ir import plan_json

EXAMPLES = Path(__file__).parent.parent / "examples"
SECONDS = ('profile from "profiles/batch_seconds.json"', "budget 20 s")


@pytest.mark.parametrize(
    ("name", "sentences"),
    [("lm_context", ()), ("batch", ()), ("batch", SECONDS), ("digits_width", ())],
)
def test_the_interval_at_the_whole_budget_is_that_of_the_answer(name: str, sentences: tuple[str, ...]) -> None:
    path = EXAMPLES / f"{name}.shape"
    plan = compile_plan(path, sentences)
    found = savings_over_budgets(path, sentences, plan)
    assert plan.answer is not None
    assert (found[-1].best, found[-1].last) == (plan.answer.best, plan.answer.last)
    whole = plan.totals.seconds if plan.in_seconds else plan.totals.compute
    assert found[-1].budget == pytest.approx(whole, rel=0.1)
    assert [one.budget for one in found] == sorted(one.budget for one in found)
    assert all(one.best.low <= one.best.middle <= one.best.high for one in found)
    # The best fixed shape of each draw is at least as good as the last one.
    assert all(one.best.middle <= one.last.middle + 1e-9 for one in found)


def test_a_plan_that_ends_early_is_the_plan_of_that_budget() -> None:
    """Before its switch, the plan is its first shape, fixed: it saves nothing against the best of all."""
    path = EXAMPLES / "lm_context.shape"
    plan = compile_plan(path)
    first = plan.stages[0].leave.compute or 0.0
    early = [one for one in savings_over_budgets(path, (), plan) if one.budget < 0.9 * first]
    assert early
    assert all(one.best.high <= 1e-9 for one in early)


@pytest.mark.parametrize("name", ["laws_only", "bytes", "phases"])
def test_without_fits_to_runs_of_the_shapes_there_is_no_interval(name: str) -> None:
    path = EXAMPLES / f"{name}.shape"
    assert savings_over_budgets(path, (), compile_plan(path)) == ()


def test_the_chart_has_the_intervals(tmp_path: Path) -> None:
    text, _ = page_of(EXAMPLES / "lm_context.shape", to=tmp_path / "report.html")
    assert "90% interval, against the best" in text
    assert "against the best fixed shape of each budget" in text
    # The plan of the example by batches is unknown: its saving is an interval alone.
    text, _ = page_of(EXAMPLES / "batch.shape", to=tmp_path / "report.html")
    assert "median, against the best" in text
    assert "against the best fixed shape of each budget" not in text
    plan_json.save(compile_plan(EXAMPLES / "lm_context.shape"), tmp_path / "plan.json")
    text, _ = page_of(tmp_path / "plan.json", to=tmp_path / "report.html")
    assert "90% interval, against" not in text


def test_no_saving_is_drawn_before_the_start_of_the_plan(tmp_path: Path) -> None:
    """Laws do not apply before the error at which the plan starts, at about 60 GFLOPs here."""
    text, _ = page_of(EXAMPLES / "batch.shape", to=tmp_path / "report.html")
    figure = text.partition('aria-label="Saving of the plan over budgets"')[2].partition("</svg>")[0]
    ticks = [float(word) for word in re.findall(r">(\d+)</text>", figure)]
    assert ticks
    assert min(ticks) >= 60
