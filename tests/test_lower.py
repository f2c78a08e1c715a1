"""Lowering routes to plans: steps, points, previews, and the compute charged for them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from sources import BY_HAND, IMAGES, LAWS_ONLY, PATCHES, TEXTS, TWO_LAWS, compiled, refused, resolved

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_fixed, compile_program
from shapeflow.ir.decks import DECK, hand, shuffled
from shapeflow.ir.plan import Plan, Stage
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator

BLENDED = PATCHES.replace("[4, 2]", "[4, 2, 1]") + (
    "stage (patch: 4 px) with 20% (patch: 2 px), 7% (patch: 1 px) until 40%\n"
    "stage (patch: 2 px) until 70%\nstage (patch: 1 px) until end\nbudget 1234 steps\n"
)
LAWS = """
law for (context: 64 tokens)  is power(a: 200, b: 0.25, c: 2.0, d: 0)
law for (context: 128 tokens) is power(a: 400, b: 0.27, c: 1.8, d: 0)
law for (context: 256 tokens) is power(a: 800, b: 0.29, c: 1.6, d: 0)
start at error 4.5
"""
PREVIEWS = TEXTS + LAWS + "traversal steepest\nbudget 20000 steps\n"
TEXT_ENDS = TEXTS + "stage (context: 64 tokens) until 30%\nstage (context: 256 tokens) until end\n"


def each_step(plan: Plan, stage: Stage) -> list[float]:
    index = plan.stages.index(stage)
    blends = [stage.blend_at(plan.seed, index, step) for step in range(stage.steps or 0)]
    return [stage.cost if blend is None else blend.compute for blend in blends]


# lengths


@pytest.mark.parametrize(
    ("text", "budget", "steps"),
    [
        (BY_HAND, "600 steps", 600),
        (BY_HAND, "38400 samples", 600),
        (BY_HAND, "38432 images", 600),
        (BY_HAND, "3 epochs", 67),
        (TEXT_ENDS, "307200 tokens", 600),
        (TEXT_ENDS, "300 ktokens", 585),
    ],
)
def test_a_budget_of_steps_or_data_sets_the_steps(tmp_path: Path, text: str, budget: str, steps: int) -> None:
    assert compiled(tmp_path, text, f"budget {budget}").steps == steps


@pytest.mark.parametrize("text", [BY_HAND, TEXT_ENDS, BLENDED, PREVIEWS])
def test_a_budget_of_compute_is_spent_to_a_step(tmp_path: Path, text: str) -> None:
    for flops in (2e10, 1.7e11, 3e12):
        plan = compiled(tmp_path, text, f"budget {flops} FLOPs")
        dearest = max(stage.cost for stage in plan.stages)
        assert plan.totals.compute == pytest.approx(flops, abs=2 * dearest, rel=0.01)


@pytest.mark.parametrize(
    ("until", "steps"),
    [
        ("40%", 240),
        ("100 steps", 100),
        ("6400 samples", 100),
        ("0.5 epochs", 11),
        ("1 GFLOPs", 25),
        ("700 steps", 600),
    ],
)
def test_a_stage_ends_where_stated_but_within_the_budget(tmp_path: Path, until: str, steps: int) -> None:
    hard = BY_HAND.replace("base: 4 px", "base: 4 px, preview: 0%").replace("40%", until)
    plan = compiled(tmp_path, hard)
    assert (plan.stages[0].steps, plan.steps) == (steps, 600)


def test_until_counts_from_the_start_of_the_run(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BLENDED)
    assert [stage.last_step for stage in plan.stages] == [494, 864, 1234]


@pytest.mark.parametrize("text", [BY_HAND, TEXT_ENDS + "budget 601 steps", BLENDED, PREVIEWS])
def test_steps_add_up_and_points_join(tmp_path: Path, text: str) -> None:
    plan = compiled(tmp_path, text)
    assert plan.stages[0].enter.step == 0
    assert plan.stages[0].enter.compute == 0
    for before, after in pairwise(plan.stages):
        assert before.leave.step == after.enter.step
        assert before.leave.compute == after.enter.compute
    assert sum(stage.steps or 0 for stage in plan.stages) == plan.steps == plan.stages[-1].last_step
    assert all(type(stage.steps) is int and stage.steps > 0 for stage in plan.stages)
    assert plan.totals.compute == plan.stages[-1].leave.compute


def test_a_stage_without_a_step_is_left_out_and_reported(tmp_path: Path) -> None:
    report = Report()
    plan = compiled(tmp_path, BY_HAND.replace("40%", "0.01%"), report=report)
    assert [stage.shape for stage in plan.stages] == [Shape.of(patch=2)]
    assert plan.stages[0].transition is None
    assert [one.code for one in report.diagnostics] == ["empty-stage"]


def test_a_plan_too_short_or_too_long_is_refused(tmp_path: Path) -> None:
    assert [one.code for one in refused(tmp_path, BY_HAND, "budget 0.2 steps")] == ["no-steps"]
    assert [one.code for one in refused(tmp_path, BY_HAND, "budget 10 EFLOPs")] == ["too-many-steps"]


def test_an_empty_stage_is_neither_previewed_nor_charged(tmp_path: Path) -> None:
    text = PATCHES + "stage (patch: 4 px) until 100%\nstage (patch: 2 px) until end\nbudget 100 steps"
    report = Report()
    (stage,) = compiled(tmp_path, text, report=report).stages
    assert (stage.steps, stage.blends) == (100, ())
    assert stage.leave.compute == 100 * stage.cost
    assert [one.code for one in report.diagnostics] == ["empty-stage"]


def test_every_stage_is_bounded_by_the_error_at_which_the_plan_stops(tmp_path: Path) -> None:
    text = LAWS_ONLY + "start at error 1.2\nstop when error <= 0.5\nbudget 100 FLOPs\ntraversal evenly"
    report = Report()
    (stage,) = compiled(tmp_path, text, report=report).stages
    assert stage.leave.error == pytest.approx(0.5)
    assert stage.leave.compute == pytest.approx(1 / 0.3)
    assert [one.message for one in report.diagnostics] == ["the stage in (width: 2) is never entered"]


def test_an_error_at_the_floor_without_a_budget_is_refused(tmp_path: Path) -> None:
    for way in ("traversal fixed((width: 1))", "stage (width: 1) until end"):
        text = LAWS_ONLY + f"start at error 1.2\nstop when error <= 0.15\n{way}"
        assert [one.code for one in refused(tmp_path, text)] == ["target-out-of-reach"]


def test_steps_are_rounded_up_to_an_error_and_down_to_a_budget(tmp_path: Path) -> None:
    plan = compiled(tmp_path, TEXTS + LAWS + "traversal steepest\nstop when error <= 3.1")
    assert plan.totals.error is not None
    assert plan.totals.error <= 3.1
    assert (plan.predicted(plan.steps - 1) or 0) > 3.1
    for text in (BY_HAND, TEXT_ENDS, BLENDED, PREVIEWS):
        assert (compiled(tmp_path, text, "budget 1 TFLOPs").totals.compute or 0) <= 1e12


# evaluation


@pytest.mark.parametrize(
    ("every", "steps"),
    [("7 steps", 7), ("5%", 30), ("1 epochs", 22), ("640 samples", 10), ("0.001 steps", 1)],
)
def test_evaluation_and_checkpoints_repeat_after_a_number_of_steps(tmp_path: Path, every: str, steps: int) -> None:
    plan = compiled(tmp_path, BY_HAND, f"evaluate every {every}", f"checkpoint every {every}")
    assert (plan.evaluate, plan.checkpoint) == (steps, steps)


def test_evaluation_by_compute_is_spread_over_the_plan(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND)
    tenth = compiled(tmp_path, BY_HAND, f"evaluate every {(plan.totals.compute or 0) / 10} FLOPs")
    assert tenth.evaluate == 60


def test_every_stage_is_measured_at_its_end(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND, "evaluate every 7 steps")
    measured = [step for step in range(1, 601) if plan.measures_at(step)]
    assert measured == sorted({*range(7, 601, 7), 240, 600})


# previews, retained shapes and other blends


@pytest.mark.parametrize("text", [BLENDED, PREVIEWS, PREVIEWS.replace("context_grow", "context_grow(retain: 30%)")])
def test_blends_are_charged_to_the_flop(tmp_path: Path, text: str) -> None:
    plan = compiled(tmp_path, text)
    assert any(stage.blends for stage in plan.stages)
    for index, stage in enumerate(plan.stages):
        costs = each_step(plan, stage)
        for steps in (0, 1, 99, 100, 101, 250, len(costs)):
            steps = min(steps, len(costs))
            assert stage.compute_of(plan.seed, index, steps) == pytest.approx(sum(costs[:steps]), rel=1e-12)
        assert plan.compute_at(stage.last_step) == pytest.approx(stage.leave.compute, rel=1e-12)


def test_what_a_run_counts_is_what_the_plan_says(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BLENDED)
    last = list(execute(plan, Simulator(plan)))[-1]
    assert last.compute == pytest.approx(plan.totals.compute, rel=1e-12)  # type: ignore[union-attr]


def test_shares_are_kept_exactly_over_whole_decks(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BLENDED)
    stage = plan.stages[0]
    for deck in range(4):
        steps = range(deck * DECK, (deck + 1) * DECK)
        kinds = Counter(blend.share if blend else None for blend in (stage.blend_at(0, 0, step) for step in steps))
        assert kinds == {0.2: 20, 0.07: 7, None: 73}


@pytest.mark.parametrize("count", [2, 3, 7, 18, 40, 90])
def test_equal_shares_stay_within_a_step_of_equal(count: int) -> None:
    dealt = [0] * count
    for deck in range(30):
        cards = hand((1 / count,) * (count - 1), deck)
        assert sum(cards) == DECK
        dealt = [sum(pair) for pair in zip(dealt, cards, strict=True)]
        assert max(abs(n - DECK * (deck + 1) / count) for n in dealt) < 1


def test_a_share_below_a_percent_occurs_once_in_several_decks() -> None:
    dealt = [hand((0.004, 0.5), deck) for deck in range(50)]
    assert [sum(kind) for kind in zip(*dealt, strict=True)] == [2480, 20, 2500]


def test_a_preview_blends_in_the_next_shape_at_the_end_of_a_stage(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND)
    (blend,) = plan.stages[0].blends
    assert (blend.shape, blend.share, blend.first, blend.last) == (Shape.of(patch=2), 0.25, 180, 240)
    assert plan.stages[1].blends == ()
    kinds = Counter(plan.stages[0].blend_at(0, 0, step) is not None for step in range(180))
    assert kinds == {False: 180}


def test_a_retained_shape_is_blended_in_after_the_switch(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND.replace("base: 4 px", "base: 4 px, preview: 0%, retain: 50%"))
    (blend,) = plan.stages[1].blends
    assert (blend.shape, blend.share, blend.first, blend.last) == (Shape.of(patch=4), 0.5, 0, 360)
    assert plan.stages[0].blends == ()


def test_a_stage_with_stated_shares_gets_no_others(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BLENDED)
    assert [blend.share for blend in plan.stages[0].blends] == [0.2, 0.07]
    assert [blend.share for blend in plan.stages[1].blends] == [0.25]


def test_the_order_of_a_deck_is_pinned() -> None:
    cards = shuffled((0.05,), "17/0/0/0", 0)
    assert [step for step, kind in enumerate(cards) if kind] == [3, 14, 16, 40, 48]


def test_which_step_is_blended_depends_only_on_seed_stage_and_step(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BLENDED)
    stage = plan.stages[0]
    there = [stage.blend_at(plan.seed, 0, step) is not None for step in range(494)]
    back = [stage.blend_at(plan.seed, 0, step) is not None for step in reversed(range(494))]
    assert there == back[::-1]
    assert there != [stage.blend_at(plan.seed + 1, 0, step) is not None for step in range(494)]
    assert there != [stage.blend_at(plan.seed, 1, step) is not None for step in range(494)]
    code = "from shapeflow.ir.decks import shuffled; print(*shuffled((0.2, 0.07), '0/0/0/2', 2))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert tuple(map(int, done.stdout.split())) == shuffled((0.2, 0.07), "0/0/0/2", 2)


def test_shapes_that_are_stored_differently_do_not_blend(tmp_path: Path) -> None:
    assert [one.code for one in refused(tmp_path, LAWS_ONLY + "traversal random\nbudget 9 FLOPs")] == ["not-blendable"]


# switches


def test_a_switch_on_two_axes_is_one_transition(tmp_path: Path) -> None:
    text = PATCHES.replace("width: 32, heads: 2", "head_width: 16") + (
        "axis width in [32, 48] via width_expand(init: normal, credit: 70%)\nstage (patch: 4 px, width: 32) until 50%\n"
        "stage (patch: 2 px, width: 48) until end\nbudget 100 steps"
    )
    first, second = compiled(tmp_path, text).stages
    assert second.transition is not None
    assert second.transition.names == ("width_expand", "flexi_resize")
    assert second.arrives_by == "width_expand + flexi_resize"
    assert (second.transition.preserves, second.transition.average) == ("lossy", "restart")
    assert second.transition.credit == 0.7
    assert second.transition.moments == "fresh", "resizing makes no new entries, so it has no say"
    assert (first.sizes["residual"], second.sizes["residual"]) == (32, 48)
    (blend,) = first.blends
    assert blend.shape == Shape.of(patch=2, width=32), "a width cannot be previewed"


def test_a_depth_grows_and_costs_follow(tmp_path: Path) -> None:
    text = PATCHES.replace("depth: 2, width: 32, heads: 2", "head_width: 16") + (
        "axis width in [32, 48] via width_expand(moments: carry)\naxis depth in [2, 4] via depth_expand\n"
        "stage (patch: 4 px, width: 32, depth: 2) until 40%\nstage (patch: 4 px, width: 48, depth: 4) until 80%\n"
        "stage (patch: 2 px, width: 48, depth: 4) until end\nbudget 100 steps"
    )
    first, second, _ = compiled(tmp_path, text).stages
    assert second.transition is not None
    assert second.arrives_by == "depth_expand + width_expand", "whatever the file's order"
    assert (second.transition.preserves, second.transition.average) == ("exact", "map")
    assert second.transition.moments == "carry", "the more careful of the two"
    assert (first.sizes["depth"], second.sizes["depth"]) == (2, 4)
    fixed = compiled(
        tmp_path,
        PATCHES.replace("width: 32", "width: 48").replace("heads: 2", "heads: 3").replace("depth: 2", "depth: 4")
        + "stage (patch: 4 px) until end\nbudget 100 steps",
    )
    assert second.step_compute == fixed.stages[0].step_compute


def test_depth_only_grows_and_is_not_blended(tmp_path: Path) -> None:
    text = PATCHES.replace("depth: 2, ", "") + "axis depth in [2, 4] via depth_expand\nbudget 100 steps\n"
    back = "stage (patch: 4 px, depth: 4) until 50%\nstage (patch: 4 px, depth: 2) until end\n"
    assert [one.code for one in refused(tmp_path, text + back)] == ["one-way-transition"]
    mixed = "stage (patch: 4 px, depth: 2) with 10% (depth: 4) until end\n"
    assert [one.code for one in refused(tmp_path, text + mixed)] == ["not-blendable"]


def test_two_stages_of_one_shape_need_no_transition(tmp_path: Path) -> None:
    text = PATCHES + "stage (patch: 4 px) until 50%\nstage (patch: 4 px) until end\nbudget 100 steps"
    assert [stage.transition for stage in compiled(tmp_path, text).stages] == [None, None]


# errors expected, and the comparison


def test_two_laws_by_hand_and_by_rule(tmp_path: Path) -> None:
    picked = compiled(tmp_path, TWO_LAWS)
    by_hand = LAWS_ONLY + "stage (width: 1) until 5 FLOPs\nstage (width: 2) until end\nbudget 11 FLOPs\n"
    for plan in (picked, compiled(tmp_path, by_hand)):
        first, second = plan.stages
        assert first.leave.error == pytest.approx(0.4)
        assert first.leave.compute == pytest.approx(5)
        assert second.leave.error == pytest.approx(0.25)
        assert plan.totals.compute == pytest.approx(11)
        assert plan.comparison.best_fixed.compute == pytest.approx(16)
        assert plan.comparison.best_fixed.saving == pytest.approx(0.3125)
        assert plan.comparison.last_shape_fixed.shape == Shape.of(width=2)


def test_a_lossy_switch_enters_the_next_law_higher(tmp_path: Path) -> None:
    text = LAWS_ONLY + "stage (width: 1) until 5 FLOPs\nstage (width: 2) until end\nbudget 11 FLOPs\n"
    lossy = compiled(tmp_path, text.replace("width_expand", "width_expand(credit: 50%)"))
    # The second law reaches 0.4 after 10 FLOPs. The switch keeps half of them, so its error is 4 / 5.
    assert lossy.stages[1].enter.error == pytest.approx(0.8)
    assert lossy.stages[1].leave.error == pytest.approx(4 / 11)


def test_a_comparator_that_misses_the_target_says_so(tmp_path: Path) -> None:
    text = LAWS_ONLY + "stage (width: 2) until end\nbudget 100 FLOPs\n"
    comparison = compiled(tmp_path, text).comparison
    assert comparison.best_fixed.saving == pytest.approx(0)
    without = compiled(tmp_path, BY_HAND).comparison
    assert without.best_fixed.saving is None
    assert without.best_fixed.reason == "the plan has no laws"


def test_a_comparator_that_starts_below_the_target_says_so(tmp_path: Path) -> None:
    text = LAWS_ONLY.replace("a: 4, b: 1, c: 0, d: 0", "a: 4, b: 1, c: 0, d: 10")
    comparison = compiled(tmp_path, text + "stage (width: 1) until end\nstop when error <= 0.5").comparison
    assert comparison.best_fixed.shape == Shape.of(width=2)
    assert comparison.best_fixed.reason == "the law of (width: 2) starts below error 0.5"
    assert comparison.last_shape_fixed.saving == pytest.approx(0)


def test_expected_errors_fall_along_the_stages(tmp_path: Path) -> None:
    plan = compiled(tmp_path, PREVIEWS)
    predicted = [plan.predicted(step) for step in range(1, plan.steps + 1, 500)]
    assert all(value is not None for value in predicted)
    assert predicted == sorted(predicted, reverse=True)  # type: ignore[type-var]
    assert plan.predicted(plan.steps) == pytest.approx(plan.totals.error)


# sweeps


def test_a_fixed_plan_of_every_candidate(tmp_path: Path) -> None:
    program = resolved(tmp_path, BLENDED)
    for shape in program.candidates:
        report = Report()
        plan = compile_fixed(program, shape, Amount(100, "steps"), report)
        assert plan is not None
        (stage,) = plan.stages
        assert (stage.shape, stage.steps, stage.blends, stage.transition) == (shape, 100, (), None)
        assert report.diagnostics == []


def test_a_program_may_be_compiled_twice(tmp_path: Path) -> None:
    program = resolved(tmp_path, PREVIEWS)
    plans = [compile_program(attrs.evolve(program), Report()) for _ in range(2)]
    assert plans[0] == plans[1]


def test_shapes_that_are_not_candidates_and_not_blended_are_named(tmp_path: Path) -> None:
    text = IMAGES.replace("width: 32, heads: 2", "head_width: 16").replace("objective cross_entropy\n", "") + (
        "let smooth = cross_entropy(label_smoothing: 10%)\n"
        "axis patch in [4, 2] px via flexi_resize(base: 4 px, retain: 10%)\n"
        "axis width in [32, 48] via width_expand\n"
        "axis loss in [cross_entropy, smooth] via loss_switch(blend: 25%)\n"
        "candidates patch * width * loss where (patch is 4 px and width is 32 and loss is cross_entropy)\n"
        "  or (patch is 2 px and width is 48 and loss is smooth)\n"
        "stage (patch: 4 px, width: 32, loss: cross_entropy) until 50%\n"
        "stage (patch: 2 px, width: 48, loss: smooth) until end\nbudget 40 steps\n"
    )
    plan = compiled(tmp_path, text)
    assert [stage.blends for stage in plan.stages] == [(), ()]
    assert plan.notes[:3] == (
        "stage 1 takes no steps in (loss: cross_entropy, patch: 2 px, width: 32), as `preview` of `flexi_resize` "
        "asks: not a candidate",
        "stage 1 takes no steps in (loss: smooth, patch: 4 px, width: 32), as `blend` of `loss_switch` asks: not a "
        "candidate",
        "stage 2 takes no steps in (loss: smooth, patch: 4 px, width: 48), as `retain` of `flexi_resize` asks: not a "
        "candidate",
    )
    assert not any("not a candidate" in note for note in compiled(tmp_path, BY_HAND).notes)
