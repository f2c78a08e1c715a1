"""The seconds of switches: part of their price in a plan by time, and of its seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_page import page_of
from sources import compiled, written
from test_costs_traversal import LEAST, TWICE, in_seconds
from test_seconds import COARSE, FINE, FLOPS, PLANNED, profile_of
from test_traversals import PATCH, near, route

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.sealed import laid_out
from shapeflow.base.shapes import Shape
from shapeflow.base.units import duration
from shapeflow.cli import answer
from shapeflow.compiler import unprofiled
from shapeflow.ir import plan_json
from shapeflow.ir import profile as profiles
from shapeflow.ir.plan import Plan
from shapeflow.ir.profile import TimedSwitch
from shapeflow.preview.curves import along, plan_curve, reached, savings
from shapeflow.running.profile import neighbours
from shapeflow.running.spent import planned_seconds
from shapeflow.traversals.steepest import Steepest

BUDGET = "budget 2000 s"


def timed(folder: Path, seconds: float | None, slower: Mapping[Shape, float] | None = None) -> str:
    """The text of a plan whose profile has the seconds of a switch; None: it does not."""
    program = unprofiled(written(folder, PLANNED), (), Report())
    assert program is not None
    switches = () if seconds is None else (TimedSwitch(COARSE, FINE, seconds),)
    profiles.save(attrs.evolve(profile_of(program, slower or {}), switches=switches), folder / "p.json")
    return PLANNED + '\nprofile from "p.json"\n'


@pytest.mark.parametrize(
    ("delay", "stages"), [(0.0, 2), (16 - LEAST - 1e-6, 2), (16 - LEAST + 1e-6, 1), (float("1e9"), 1)]
)
def test_a_switch_is_made_if_it_saves_more_than_its_seconds(delay: float, stages: int) -> None:
    found = route(Steepest(), in_seconds([2.0, 1.0], switch_seconds=lambda p, q: delay))
    assert [leg.shape for leg in found.legs] == PATCH[2 - stages : 2]
    if stages == 2:
        assert found.legs[0].until.error == near(TWICE)


@pytest.mark.parametrize(("delay", "stages"), [(3 * 4.9, 2), (3 * 5.1, 1)])
def test_the_same_if_a_flop_takes_the_same_time_in_all_shapes(delay: float, stages: int) -> None:
    found = route(Steepest(), in_seconds([3.0, 3.0], switch_seconds=lambda p, q: delay))
    assert len(found.legs) == stages


def test_a_plan_by_flops_does_not_pay_seconds() -> None:
    asked = attrs.evolve(in_seconds([2.0, 1.0], switch_seconds=lambda p, q: 1e9), unit="compute")
    assert len(route(Steepest(), asked).legs) == 2


def test_the_seconds_of_a_plan_include_its_switches(tmp_path: Path) -> None:
    free, paid = (compiled(tmp_path, timed(tmp_path, seconds), BUDGET) for seconds in (None, 10.0))
    assert [stage.shape for stage in paid.stages] == [stage.shape for stage in free.stages] == [COARSE, FINE]
    assert free.stages[1].transition is not None
    assert free.stages[1].transition.delay is None
    assert paid.stages[1].transition is not None
    assert paid.stages[1].transition.delay == 10
    # The budget is kept: there are fewer steps.
    steps = {one.shape: one.step_seconds or 0.0 for one in paid.candidates}
    lost = steps[FINE] * ((free.stages[1].steps or 0) - (paid.stages[1].steps or 0))
    assert lost == pytest.approx(10, abs=2 * steps[FINE])
    assert paid.totals.seconds == pytest.approx(2000, rel=1e-3)
    assert paid.totals.seconds == pytest.approx(10 + sum(steps[one.shape] * (one.steps or 0) for one in paid.stages))
    assert (paid.totals.compute or 0) < (free.totals.compute or 0)
    assert (paid.comparison.best_fixed.saving or 0) < (free.comparison.best_fixed.saving or 0)
    assert plan_json.loads(plan_json.dumps(paid), "plan.json") == paid
    assert "delay" not in plan_json.dumps(free)
    assert any("counts training steps and switches (10 s)" in note for note in paid.notes)
    assert any("counts training steps only" in note for note in free.notes)
    begun = paid.stages[1].first_step
    planned = [planned_seconds(paid, begun + more) or 0.0 for more in (0, 1)]
    assert planned[1] - planned[0] == pytest.approx(10 + steps[FINE])


def test_curves_wait_for_a_switch(tmp_path: Path) -> None:
    """The error does not fall during a switch of 10 s; the first steps after it are not counted into these seconds."""
    plan = compiled(tmp_path, timed(tmp_path, 10.0), BUDGET)
    second = plan.stages[1]
    begun, law = second.enter.seconds or 0.0, plan.law_of(second)
    assert law is not None
    for steps in (1, 1000):
        target = law.error(law.compute(second.enter.error or 0.0) + steps * second.cost)
        expected = begun + 10 + steps * second.cost * FLOPS
        assert reached(plan).reaches(target) == pytest.approx(expected, rel=2e-2)
        (row,) = savings(plan, [target])
        assert row["best_fixed"]["saving"] == pytest.approx(1 - expected / row["best_fixed"]["seconds"], abs=1e-2)
    flat = [at for at, value in plan_curve(plan).points if value == second.enter.error]
    assert (min(flat), max(flat)) == (pytest.approx(begun), pytest.approx(begun + 10))
    assert reached(plan).reaches(second.enter.error or 0.0) == pytest.approx(begun)
    halfway = 0.5 * ((second.enter.compute or 0.0) + (second.leave.compute or 0.0))
    assert along(plan, halfway) == pytest.approx(0.5 * (begun + 10 + (second.leave.seconds or 0.0)))


def test_a_switch_does_not_take_longer_than_its_stage(tmp_path: Path) -> None:
    plan = compiled(tmp_path, timed(tmp_path, 10.0), BUDGET)
    transition = plan.stages[1].transition
    assert transition is not None
    broken = attrs.evolve(plan.stages[1], transition=attrs.evolve(transition, delay=1e6))
    text = plan_json.dumps(plan_json.sealed(attrs.evolve(plan, stages=(plan.stages[0], broken))))
    with pytest.raises(Refused, match="takes longer than its stage"):
        plan_json.loads(text, "plan.json")


def test_a_report_says_what_a_switch_takes(tmp_path: Path) -> None:
    for seconds, shown in ((10.0, True), (None, False)):
        shape = written(tmp_path, timed(tmp_path, seconds))
        text, _ = page_of(shape, "--set", BUDGET, to=tmp_path / "report.html")
        assert (">time of the switch</th>" in text) == shown
        assert ('<td class="number">10 s</td>' in text) == shown
        assert ("and of switches with their first steps" in text) == shown


def test_a_plan_by_flops_says_how_long_its_switches_take(tmp_path: Path) -> None:
    free, paid = (compiled(tmp_path, timed(tmp_path, seconds)) for seconds in (None, 10.0))
    assert [stage.steps for stage in paid.stages] == [stage.steps for stage in free.stages]
    assert paid.totals.seconds == pytest.approx((free.totals.seconds or 0) + 10)


def test_a_comparison_says_what_switches_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The least time stays in one shape, and the least compute switches."""
    assert answer(["simulate", str(written(tmp_path, timed(tmp_path, 1e4))), "--set", BUDGET]) == 0
    shown = capsys.readouterr().out
    assert "switches take 2.78 hours of the plan by FLOPs" in shown
    assert "of the plan by seconds" not in shown
    # All shapes are equally fast.
    assert "times as long as one of" not in shown


def test_switches_that_take_too_long_are_not_made(tmp_path: Path) -> None:
    text = timed(tmp_path, 1e4)
    plan = compiled(tmp_path, text, BUDGET)
    assert [stage.shape for stage in plan.stages] == [FINE]
    assert any("no switch saves more than it costs" in note for note in plan.notes)
    assert plan.answer is not None
    assert plan.answer.say == "no"


@settings(derandomize=True, deadline=None, max_examples=5)
@given(st.floats(0, 500), st.floats(0.2, 5))
def test_no_plan_is_worse_than_its_best_fixed_shape(
    tmp_path_factory: pytest.TempPathFactory, seconds: float, slower: float
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    plan = compiled(folder, timed(folder, seconds, {COARSE: slower}), BUDGET)
    alone = [compiled(folder, timed(folder, seconds, {COARSE: slower}), BUDGET, f"traversal fixed({shape})")
             for shape in ("(patch: 4 px)", "(patch: 2 px)")]  # fmt: skip
    assert _error(plan) <= min(map(_error, alone)) * (1 + 1e-3)


def _error(plan: Plan) -> float:
    assert plan.totals.error is not None
    return plan.totals.error


def test_a_switch_that_was_not_timed_takes_the_longest_time(tmp_path: Path) -> None:
    program = unprofiled(written(tmp_path, PLANNED), (), Report())
    assert program is not None
    switches = (TimedSwitch(COARSE, FINE, 2.0), TimedSwitch(FINE, COARSE, 3.0))
    timing = attrs.evolve(profile_of(program, {}), switches=switches).timing
    assert [timing.switch(*pair) for pair in ((COARSE, FINE), (FINE, Shape.of(patch=8)))] == [2.0, 3.0]
    assert profile_of(program, {}).timing.switch(COARSE, FINE) == 0
    back = attrs.evolve(profile_of(program, {}), switches=switches[1:])
    profiles.save(back, tmp_path / "p.json")
    plan = compiled(tmp_path, PLANNED + '\nprofile from "p.json"\n', BUDGET)
    (note,) = [note for note in plan.notes if "was not timed" in note]
    assert note.startswith("the switch (patch: 4 px) > (patch: 2 px) was not timed")


def test_the_time_of_checkpoints_is_said(tmp_path: Path) -> None:
    """One after each 100 steps, and one at the end."""
    program = unprofiled(written(tmp_path, PLANNED), (), Report())
    assert program is not None
    profiles.save(attrs.evolve(profile_of(program, {}), checkpoint=2.0), tmp_path / "p.json")
    text = PLANNED + '\nprofile from "p.json"\n'
    plan = compiled(tmp_path, text, BUDGET, "checkpoint every 100 steps")
    (note,) = [note for note in plan.notes if note.startswith("time is predicted")]
    assert f", checkpoints up to {duration(2.0 * -(-plan.steps // 100), 2)}. A run" in note
    assert plan.totals.seconds == compiled(tmp_path, timed(tmp_path, None), BUDGET).totals.seconds


def _body(folder: Path) -> dict[str, Any]:
    text = timed(folder, 1.0)
    assert text
    program = unprofiled(written(folder, PLANNED), (), Report())
    assert program is not None
    return profiles.as_json(profiles.load(folder / "p.json"))


def test_a_profile_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    body = _body(tmp_path)
    del body["switches"], body["checkpoint"]
    (tmp_path / "p.json").write_text(laid_out(profiles.SEAL.close(body)))
    found = profiles.load(tmp_path / "p.json")
    assert (found.switches, found.checkpoint) == ((), None)


@pytest.mark.parametrize("seconds", [-1.0, 1e300, "long", None])
def test_seconds_of_switches_that_are_none(seconds: object, tmp_path: Path) -> None:
    body = _body(tmp_path)
    for wrong in ({"checkpoint": seconds}, {"switches": [{**body["switches"][0], "seconds": seconds}]}):
        if wrong == {"checkpoint": None}:
            continue
        (tmp_path / "p.json").write_text(json.dumps(profiles.SEAL.close({**body, **wrong})))
        with pytest.raises(Refused, match="broken-profile"):
            profiles.load(tmp_path / "p.json")


def test_the_switches_that_are_timed(tmp_path: Path) -> None:
    """Between neighbours on one axis, in the directions that a plan may take."""
    text = PLANNED.replace(
        "axis patch in [4, 2] px",
        "axis width in [16, 32, 64] via width_expand(init: preserve)\naxis patch in [4, 2] px",
    )
    text = text.replace("width: 32, heads: 2", "head_width: 8").partition("law for")[0]
    program = unprofiled(written(tmp_path, text + "traversal evenly\nbudget 1 TFLOPs\n"), (), Report())
    assert program is not None
    found = set(neighbours(program))
    assert len(found) == 2 * 2 + 3 * 2
    assert (Shape.of(width=16, patch=4), Shape.of(width=32, patch=4)) in found
    assert (Shape.of(width=32, patch=4), Shape.of(width=16, patch=4)) not in found
    assert (Shape.of(width=16, patch=2), Shape.of(width=16, patch=4)) in found
