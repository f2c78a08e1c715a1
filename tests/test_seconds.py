"""Budgets in seconds: profiles, and the plans, answers and comparisons that count in their seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sources import BY_HAND, PATCHES, TEXTS, compiled, resolved, written

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.sealed import laid_out
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.cli import answer
from shapeflow.compiler import compile_fixed, program_of, unprofiled
from shapeflow.ir import plan_json
from shapeflow.ir import profile as profiles
from shapeflow.ir.plan import Plan
from shapeflow.ir.profile import Machine, Pace, Profile, Timed
from shapeflow.ir.program import Program
from shapeflow.preview.answer import headline
from shapeflow.preview.curves import curves, curves_view
from shapeflow.preview.plan import plan_view
from shapeflow.preview.profile import profile_view
from shapeflow.running.rivals import OfFile, OfPlan, Result
from shapeflow.running.rivals.ways import ROOM, budget_in

HERE = Machine("a processor", "cpu", 1, 1, False, "2.9.0")
COARSE, FINE = Shape.of(patch=4), Shape.of(patch=2)
FLOPS = 1e-9
"""Seconds per FLOP where all shapes are equally fast."""

LAWS = """
law for (patch: 4 px) is power(a: 2e5, b: 0.6, c: 0.3, d: 0)
law for (patch: 2 px) is power(a: 1e6, b: 0.6, c: 0.05, d: 0)
traversal steepest
start at error 2.3
budget 1 TFLOPs
"""
PLANNED = PATCHES.replace("base: 4 px", "base: 4 px, preview: 0%") + LAWS
CONTEXTS = (
    TEXTS
    + """
law for (context: 64 tokens)  is power(a: 200, b: 0.25, c: 2.0, d: 0)
law for (context: 128 tokens) is power(a: 400, b: 0.27, c: 1.8, d: 0)
law for (context: 256 tokens) is power(a: 800, b: 0.29, c: 1.6, d: 0)
start at error 4.5
traversal steepest
budget 1 TFLOPs
"""
)


def profile_of(program: Program, slower: Mapping[Shape, float]) -> Profile:
    """A profile in which a FLOP takes `FLOPS` seconds, times the factor of its shape."""
    assert program.trained is not None
    costs = {shape: program.trained.cost(shape) for shape in program.candidates}
    timed = (Timed(shape, Pace(FLOPS * slower.get(shape, 1.0) * cost, 0.5, 48)) for shape, cost in costs.items())
    return Profile(program.subject(), HERE, "2026-01-31", tuple(timed))


def timed(folder: Path, text: str, slower: Mapping[Shape, float] | None = None) -> str:
    """The text with a profile next to it."""
    program = unprofiled(written(folder, text), (), Report())
    assert program is not None
    profiles.save(profile_of(program, slower or {}), folder / "p.json")
    return text + '\nprofile from "p.json"\n'


def screen(*views: Any) -> str:
    console = Console(width=110, no_color=True)
    with console.capture() as captured:
        console.print(*views)
    return captured.get()


# plans


def steps_of(plan: Plan) -> list[tuple[Shape, int | None, int]]:
    return [(stage.shape, stage.steps, len(stage.blends)) for stage in plan.stages]


@pytest.mark.parametrize("text", [PLANNED, PATCHES + LAWS, CONTEXTS])
@pytest.mark.parametrize("compute", [3e10, 4e11, 1.7e13])
def test_with_equal_paces_seconds_and_flops_give_one_plan(text: str, compute: float, tmp_path: Path) -> None:
    """Step for step; previews and blends included."""
    text = timed(tmp_path, text)
    flops = compiled(tmp_path, text, f"budget {compute} FLOPs")
    seconds = compiled(tmp_path, text, f"budget {FLOPS * compute} s")
    assert steps_of(seconds) == steps_of(flops)
    assert seconds.totals.error == flops.totals.error
    assert seconds.totals.seconds == pytest.approx(FLOPS * (flops.totals.compute or 0.0), rel=1e-9)
    assert flops.totals.seconds == seconds.totals.seconds
    assert seconds.answer is not None
    assert flops.answer is not None
    assert (seconds.answer.unit, seconds.answer.say) == ("seconds", flops.answer.say)
    if flops.answer.best is not None:
        assert seconds.answer.best is not None
        assert seconds.answer.best.middle == pytest.approx(flops.answer.best.middle, abs=1e-9)
    assert seconds.comparison.best_fixed.saving == pytest.approx(flops.comparison.best_fixed.saving, abs=1e-9)


def test_a_cheap_shape_that_is_slow_is_left_early_or_never_entered(tmp_path: Path) -> None:
    """The laws' rates cross where (a b)^(1/b) (E - c)^(-1 - 1/b) are equal, times the seconds of a FLOP."""

    def until(slower: float) -> float | None:
        text = timed(tmp_path, PLANNED, {COARSE: slower})
        plan = compiled(tmp_path, text, "budget 2000 s")
        assert plan.stages[-1].shape == FINE
        return plan.stages[0].leave.error if len(plan.stages) > 1 else None

    def crossing(slower: float) -> float:
        power = 1 + 1 / 0.6
        ratio = (slower * 2e5 ** (1 / 0.6) / 1e6 ** (1 / 0.6)) ** (1 / power)
        return (0.3 - ratio * 0.05) / (1 - ratio)

    for slower in (0.5, 1.0, 3.0):
        assert until(slower) == pytest.approx(crossing(slower), rel=1e-2)
    assert until(20.0) is None


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(20, 5000), st.floats(0.0, 0.4))
def test_no_fixed_shape_is_better_after_the_same_seconds(
    tmp_path_factory: pytest.TempPathFactory, coarse: float, fine: float, budget: float, preview: float
) -> None:
    text = PATCHES.replace("base: 4 px", f"base: 4 px, preview: {100 * preview:.3f}%") + LAWS
    folder = tmp_path_factory.mktemp("plan")
    slower = {COARSE: coarse, FINE: fine}
    plan = compiled(folder, timed(folder, text, slower), f"budget {budget} s")
    assert plan.totals.seconds is not None
    assert plan.totals.error is not None
    assert plan.totals.seconds <= budget * (1 + 1e-9)
    step = max(stage.cost for stage in plan.stages)
    for one in plan.candidates:
        assert one.law is not None
        assert one.pace == pytest.approx(FLOPS * slower[one.shape])
        # A plan has whole steps: of a fixed shape, two steps of the most expensive shape are left out.
        error = one.law.error(budget / (FLOPS * slower[one.shape]) - 2 * step)
        assert plan.totals.error <= error * (1 + 1e-6)


def test_the_answer_counts_seconds(tmp_path: Path) -> None:
    plan = compiled(tmp_path, timed(tmp_path, PLANNED, {COARSE: 2.0}), "budget 2000 s")
    found = plan.answer
    assert found is not None
    assert found.best is not None
    assert "of the training time" in headline(plan, found)
    best = plan.comparison.best_fixed
    assert best.seconds is not None
    assert plan.totals.seconds is not None
    assert best.saving == pytest.approx(1 - plan.totals.seconds / best.seconds)
    assert found.best.middle == pytest.approx(best.saving)
    shown = screen(plan_view(plan))
    assert "33.33 minutes" in shown
    assert "time is predicted by `p.json`" in shown
    assert "minutes" in screen(curves_view(plan))
    told = curves(plan)
    assert told["unit"] == "seconds"
    assert told["curves"][0]["points"][-1][0] == pytest.approx(plan.totals.seconds)
    assert told["savings"][-1]["best_fixed"]["seconds"] == pytest.approx(best.seconds, rel=1e-6)


def test_the_best_fixed_shape_is_the_best_after_these_seconds(tmp_path: Path) -> None:
    fast, slow = (
        compiled(tmp_path, timed(tmp_path, PLANNED, {COARSE: factor}), "budget 60 s", "traversal fixed((patch: 4 px))")
        for factor in (1.0, 20.0)
    )
    assert (fast.comparison.best_fixed.shape, slow.comparison.best_fixed.shape) == (COARSE, FINE)


def test_amounts_of_time_in_other_sentences(tmp_path: Path) -> None:
    """A share of the budget is a share of its seconds; amounts of time are counted in the seconds of the profile."""
    text = timed(tmp_path, BY_HAND)
    plan = compiled(tmp_path, text, "budget 0.5 minutes")
    assert plan.totals.seconds == pytest.approx(30, rel=0.01)
    assert plan.stages[0].leave.seconds == pytest.approx(12, rel=0.05)
    by_hand = BY_HAND.replace("until 40%", "until 12 s")
    assert by_hand != BY_HAND
    assert steps_of(compiled(tmp_path, timed(tmp_path, by_hand), "budget 30 s")) == steps_of(plan)
    often = compiled(tmp_path, text, "budget 30 s", "evaluate every 3 s", "checkpoint every 6 s", "cooldown 7 s")
    assert often.evaluate == pytest.approx(plan.steps / 10, abs=1)
    assert often.checkpoint == pytest.approx(plan.steps / 5, abs=1)
    assert often.cooldown is not None
    before = often.compute_at(often.steps - often.cooldown)
    assert FLOPS * ((often.totals.compute or 0.0) - before) == pytest.approx(7, rel=0.02)


def test_a_plan_file_keeps_predicted_seconds(tmp_path: Path) -> None:
    plan = compiled(tmp_path, timed(tmp_path, PLANNED), "budget 60 s")
    plan_json.save(plan, tmp_path / "plan.json")
    assert plan_json.load(tmp_path / "plan.json") == plan
    wrong = attrs.evolve(plan, totals=attrs.evolve(plan.totals, seconds=1.0))
    with pytest.raises(Refused, match="broken-plan"):
        plan_json.loads(plan_json.dumps(plan_json.sealed(wrong)), "here")
    without = compiled(tmp_path, PLANNED, "budget 60 TFLOPs")
    assert "seconds" not in json.dumps(plan_json.plan_to_json(without)["totals"])


def test_runs_of_a_sweep_get_the_same_seconds_or_know_none(tmp_path: Path) -> None:
    text = timed(tmp_path, PLANNED, {COARSE: 3.0})
    program = program_of(written(tmp_path, text), ["budget 30 s"], Report())
    assert program is not None
    for shape in program.candidates:
        plan = compile_fixed(program, shape, Amount(30.0, "seconds"), Report())
        assert plan is not None
        assert plan.totals.seconds == pytest.approx(30.0, rel=0.01)
        # The plan of a sweep over FLOPs does not depend on the profile.
        plain = attrs.evolve(program, profile_path=None, trained=attrs.evolve(program.trained, timing=None))
        one, other = (compile_fixed(each, shape, Amount(1e11, "compute"), Report()) for each in (program, plain))
        assert one is not None
        assert one == other


def test_rivals_get_the_seconds_of_the_plan(tmp_path: Path) -> None:
    text = timed(tmp_path, PLANNED, {COARSE: 3.0}).replace("1 TFLOPs", "100 s")
    cases = OfFile.of(written(tmp_path, text), (), (0,), tmp_path / "runs", Report())
    plan_json.save(cases.plan.plan, tmp_path / "plan.json")
    of_plan = OfPlan.of(tmp_path / "plan.json", None, tmp_path / "others", Report())
    for stage in cases.plan.plan.stages:
        fixed = cases.fixed("fixed", "fixed", stage.shape).plan
        assert fixed.totals.seconds == pytest.approx(ROOM * 100, rel=0.01)
        assert of_plan.fixed("fixed", "fixed", stage.shape).plan.steps == pytest.approx(fixed.steps, rel=0.01)


def test_savings_and_budgets_of_a_plan_in_seconds(tmp_path: Path) -> None:
    ours, theirs = (Result(name, name, (flops,), (time,), (0.5,)) for name, flops, time in (("a", 2, 1), ("b", 1, 4)))
    assert theirs.savings(ours) == (-1.0,)
    assert theirs.savings(ours, "seconds") == (0.75,)
    plan = compiled(tmp_path, timed(tmp_path, PLANNED, {COARSE: 3.0}), "budget 60 s")
    assert FLOPS * budget_in(plan, FINE) == pytest.approx(plan.totals.seconds)
    assert 3 * FLOPS * budget_in(plan, COARSE) == pytest.approx(plan.totals.seconds)


# profiles


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    program = resolved(tmp_path, PLANNED)
    profile = profile_of(program, {})
    profiles.save(profile, tmp_path / "p.json")
    assert profiles.load(tmp_path / "p.json") == profile
    assert program.unlike(profile.subject) is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-300, 1e300, "fast", None])
def test_seconds_that_are_none(seconds: object, tmp_path: Path) -> None:
    body = profiles.as_json(profile_of(resolved(tmp_path, PLANNED), {}))
    body["candidates"][0]["pace"]["step"] = seconds
    (tmp_path / "p.json").write_text(laid_out(profiles.SEAL.close(body)))
    with pytest.raises(Refused, match="broken-profile"):
        profiles.load(tmp_path / "p.json")


@pytest.mark.parametrize("budget", ["1e9 hours", "1e33 hours"])
def test_too_much_time_is_refused(budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, timed(tmp_path, PLANNED.replace("budget 1 TFLOPs", f"budget {budget}")))
    assert answer(["compile", str(file)]) == 1
    assert "error[too-many-steps]" in capsys.readouterr().err


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_profile_says_whether_seconds_and_flops_differ(factor: float, tmp_path: Path) -> None:
    program = resolved(tmp_path, PLANNED)
    shown = screen(profile_view(program, profile_of(program, {COARSE: factor})))
    assert shown.startswith("a FLOP takes about the same time" if factor == 1 else "a FLOP takes 3 times as long")
