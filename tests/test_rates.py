"""The learning rate of a plan: its factors, the cooldown, the re-warm-up after a switch, tables and widths."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan
from sources import BY_HAND, IMAGES, LAWS_ONLY, TEXTS, compiled, refused, written

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import sealed
from shapeflow.ir.rates import factors, falling, reads_width, rising
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit
from shapeflow.preview.rates import rate_lines
from shapeflow.running.rivals import OfFile, plan_entry
from shapeflow.running.sweep import sweep_jobs
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.width_expand import WidthExpand

WIDTHS = IMAGES.replace("width: 32, heads: 2", "patch: 4 px, head_width: 16")
GROWS = WIDTHS + (
    "axis width in [32, 64] via width_expand{}\nstage (width: 32) until 50%\nstage (width: 64) until end\n"
    "budget 400 steps\n"
)
BATCHES = IMAGES.replace("heads: 2", "heads: 2, patch: 4 px")


def warned(folder: Path, text: str, *sentences: str) -> list[str]:
    report = Report()
    compiled(folder, text, *sentences, report=report)
    return [one.code for one in report.diagnostics]


# -- factors -----------------------------------------------------------------------------------------------------------


def test_a_cooldown_falls_as_one_minus_the_root_of_progress() -> None:
    """Hägele et al., arXiv 2405.18392: 1 - sqrt((n - begin) / length), n counted from 0."""
    assert [falling(step, 4) for step in (-1, 0, 1, 2, 3, 4)] == [
        *(1.0, 1.0, 0.5),
        pytest.approx(0.292893, abs=1e-6),
        pytest.approx(0.133975, abs=1e-6),
        0.0,
    ]


def test_a_rewarm_is_linear_and_ends_at_one() -> None:
    assert [rising(step, 4) for step in (0, 1, 2, 3, 4, 90)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert rising(0, 0) == 1


def with_rates(plan: Plan, rewarm: int, cooldown: int | None, matrix: tuple[float, ...] = (1.0, 1.0)) -> Plan:
    stages = [
        attrs.evolve(
            stage, transition=stage.transition and attrs.evolve(stage.transition, rewarm=rewarm), matrix_rate=rate
        )
        for stage, rate in zip(plan.stages, matrix, strict=True)
    ]
    return sealed(attrs.evolve(plan, stages=tuple(stages), cooldown=cooldown))


def test_the_learning_rate_is_the_product_of_its_factors() -> None:
    legs = (({"batch": 32, "width": 32}, 10), ({"batch": 128, "width": 64}, 20))
    plan = with_rates(toy_image_plan(legs), 5, 8, (1.0, 0.5))
    for step in range(30):
        second = step >= 10
        shape, matrix = (2.0, 0.5) if second else (1.0, 1.0)
        warmup, rewarm = min(1, (step + 1) / 4), min(1, (step - 9) / 5) if second else 1.0
        cooldown = 1 - math.sqrt((step - 22) / 8) if step > 22 else 1.0
        found = factors(plan, step)
        assert (found.base, found.shape, found.matrix) == (2e-3, shape, matrix)
        assert (found.warmup, found.rewarm, found.cooldown) == (warmup, rewarm, pytest.approx(cooldown))
        assert found.rate == pytest.approx(2e-3 * shape * warmup * rewarm * cooldown, rel=1e-14)
        assert found.matrix_rate == found.rate * matrix


def test_a_rewarm_longer_than_its_stage_continues_in_the_next() -> None:
    plan = toy_text_plan((({"width": 32}, 4), ({"width": 40}, 3), ({"width": 48}, 6)))
    stages = [
        attrs.evolve(stage, transition=stage.transition and attrs.evolve(stage.transition, rewarm=rewarm))
        for stage, rewarm in zip(plan.stages, (0, 6, 2), strict=True)
    ]
    plan = attrs.evolve(plan, stages=tuple(stages))
    assert [round(6 * factors(plan, step).rewarm, 9) for step in range(3, 13)] == [6, 1, 2, 3, 3, 5, 6, 6, 6, 6]


def test_a_plan_omits_a_constant_learning_rate(tmp_path: Path) -> None:
    assert list(rate_lines(compiled(tmp_path, BY_HAND))) == []
    assert list(rate_lines(compiled(tmp_path, LAWS_ONLY, "traversal evenly", "budget 10 FLOPs"))) == []


def test_a_plan_shows_the_factors_of_its_learning_rate(tmp_path: Path) -> None:
    text = GROWS.format("(moments: reset, lr: mup, tuned_at: 32)")
    plan = compiled(tmp_path, text, "cooldown 40 steps", "optimizer adamw(lr: 4e-3)")
    assert list(rate_lines(plan)) == [
        "learning rate: 0.004, linear warm-up over the first 100 steps",
        "  stage 2: x 0.5 for matrices whose inputs are channels = 0.002, linear warm-up over its first 50 steps",
        f"  cooldown: x (1 - sqrt(progress)) over the last 40 steps, from step 360 "
        f"({plan.compute_at(360) / 1e9:.4g} GFLOPs); evaluated at its start",
    ]


# -- the cooldown ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "steps"),
    [("25%", 100), ("100 steps", 100), ("1280 samples", 20), ("0.3%", 1), ("0%", None), ("0 steps", None)],
)
def test_the_last_steps_cool_down(tmp_path: Path, said: str, steps: int | None) -> None:
    one = (
        IMAGES + "axis patch in [4] px via flexi_resize(base: 4 px)\nstage (patch: 4 px) until end\nbudget 400 steps\n"
    )
    plan = compiled(tmp_path, one, f"cooldown {said}")
    assert (plan.steps, plan.cooldown) == (400, steps), "it is a part of the budget"
    assert plan.cools_from == (None if steps is None else 400 - steps)


def test_a_share_is_of_the_compute_not_of_the_steps(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND, "cooldown 20%")
    assert plan.cools_from is not None
    assert plan.totals.compute is not None
    own = 1 - plan.compute_at(plan.cools_from) / plan.totals.compute
    step = plan.stages[-1].cost / plan.totals.compute
    assert 0.2 - step < own <= 0.2
    assert plan.cooldown is not None
    assert plan.cooldown < 0.2 * plan.steps, "late steps are the dear ones"


def test_a_cooldown_over_blended_stages_counts_blends_as_they_fall(tmp_path: Path) -> None:
    blended = BY_HAND.replace("px) until end", "px) with 30% (patch: 4 px) until end").replace("until 40%", "until 90%")
    plan = compiled(tmp_path, blended, "cooldown 30%")
    assert plan.cools_from is not None
    assert plan.totals.compute is not None
    left = plan.totals.compute - plan.compute_at(plan.cools_from)
    one_more = plan.totals.compute - plan.compute_at(plan.cools_from - 1)
    assert left <= 0.3 * plan.totals.compute < one_more
    assert plan.cools_from < plan.stages[1].first_step


def test_a_cooldown_is_measured_where_it_begins(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND, "cooldown 77 steps", "evaluate every 1000 steps")
    assert [step for step in range(1, 601) if plan.measures_at(step)] == [plan.stages[0].last_step, 523, 600]


@pytest.mark.parametrize("said", ["51%", "100%", "400 steps", "601 steps", "1e30 FLOPs"])
def test_a_cooldown_takes_half_of_the_compute_at_most(tmp_path: Path, said: str) -> None:
    (one,) = refused(tmp_path, BY_HAND, f"cooldown {said}")
    assert (one.code, one.help) == ("out-of-range", "write `cooldown 15%`")


def test_a_cooldown_that_reaches_back_over_a_switch_is_warned_of(tmp_path: Path) -> None:
    late = GROWS.format("(moments: reset)").replace("until 50%", "until 340 steps")
    assert warned(tmp_path, late, "cooldown 10 steps") == []
    assert warned(tmp_path, late, "cooldown 11 steps") == ["long-cooldown"], "the rate still rises over 50 steps"
    report = Report()
    compiled(tmp_path, late, "cooldown 61 steps", report=report)
    (one,) = report.diagnostics
    assert one.message == "the cooldown begins before the last switch"
    assert one.help is not None
    assert warned(tmp_path, late, one.help.removeprefix("write `").removesuffix("`")) == [], one.help


def test_laws_do_not_count_a_cooldown(tmp_path: Path) -> None:
    laws = BY_HAND + "law for (patch: 4 px) is power(a: 4, b: 0.1, c: 0, d: 0)\nstart at error 90%\n"
    laws += "law for (patch: 2 px) is power(a: 4.4, b: 0.11, c: 0, d: 0)\n"
    warm, cool = compiled(tmp_path, laws), compiled(tmp_path, laws, "cooldown 10%")
    assert warm.totals == cool.totals
    assert warm.comparison == cool.comparison
    note = "the laws describe runs at a constant learning rate: the expected errors do not include the cooldown"
    assert (note in cool.notes, note in warm.notes) == (True, False)
    assert any("the laws predict" in line for line in rate_lines(cool))


def test_no_run_of_a_sweep_cools_down(tmp_path: Path) -> None:
    report = Report()
    path = written(tmp_path, BY_HAND + "cooldown 10%\n")
    jobs = sweep_jobs(path, ["budget 400 steps"], [0, 1], tmp_path, report)
    assert [job.plan.cooldown for job in jobs] == [None] * 4
    assert [one.code for one in report.diagnostics] == ["cooldown-left-out"]


def test_no_rival_of_a_comparison_cools_down(tmp_path: Path) -> None:
    report = Report()
    path = written(tmp_path, BY_HAND + "cooldown 10%\n")
    cases = OfFile.of(path, [], [0], tmp_path, report)
    rival = cases.traversal("random", "uniform random")
    assert [job.plan.cooldown for job in (*cases.plan.jobs, *rival.jobs)] == [None, None]
    assert [one.code for one in report.diagnostics] == ["cooldown-left-out"]
    quiet = Report()
    plan_entry(written(tmp_path, BY_HAND), [], [0], tmp_path, quiet)
    assert quiet.diagnostics == []


# -- the re-warm-up after a switch -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ("", 0),
        ("(moments: carry)", 0),
        ("(moments: reset)", 50),
        ("(moments: reset, rewarm: 0 steps)", 0),
        ("(moments: fresh, rewarm: 7 steps)", 7),
    ],
)
def test_the_rate_warms_up_again_if_moments_are_dropped(tmp_path: Path, settings: str, steps: int) -> None:
    _, second = compiled(tmp_path, GROWS.format(settings)).stages
    assert second.transition is not None
    assert second.transition.rewarm == steps


def test_a_loss_switch_that_drops_moments_has_a_rewarm(tmp_path: Path) -> None:
    text = IMAGES.replace("heads: 2", "heads: 2, patch: 4 px").replace("objective cross_entropy", "")
    text += "let smooth = cross_entropy(label_smoothing: 20%)\naxis loss in [cross_entropy, smooth] via loss_switch{}\n"
    text += "stage (loss: cross_entropy) until 50%\nstage (loss: smooth) until end\nbudget 400 steps\n"
    for settings, steps in (("", 0), ("(moments: reset)", 50), ("(moments: reset, rewarm: 9 steps)", 9)):
        _, second = compiled(tmp_path, text.format(settings)).stages
        assert second.transition is not None
        assert second.transition.rewarm == steps


def test_views_need_no_rewarm_and_joint_switches_take_the_longest(tmp_path: Path) -> None:
    _, second = compiled(tmp_path, BY_HAND).stages
    assert second.transition is not None
    assert second.transition.rewarm == 0
    joint = GROWS.replace("depth: 2, ", "").format("(rewarm: 7 steps)").replace("width: 32)", "width: 32, depth: 1)")
    joint = joint.replace("width: 64)", "width: 64, depth: 2)")
    _, second = compiled(tmp_path, joint + "axis depth in [1, 2] via depth_expand(moments: reset)\n").stages
    assert second.transition is not None
    assert (second.transition.rewarm, second.transition.moments) == (50, "reset")


# -- the width ---------------------------------------------------------------------------------------------------------


def test_mup_halves_the_rate_of_matrices_at_twice_the_width(tmp_path: Path) -> None:
    """A rate of 0.001 tuned at width 192 becomes 0.0005 at width 384."""
    mup = WidthExpand(lr="mup", tuned_at=192)
    assert [0.001 * mup.matrix_rate(Shape.of(width=width)) for width in (192, 384)] == [0.001, 0.0005]
    assert WidthExpand().matrix_rate(Shape.of(width=384)) == 1
    plan = compiled(tmp_path, GROWS.format("(lr: mup, tuned_at: 64)"))
    assert [(stage.learning_rate, stage.matrix_rate) for stage in plan.stages] == [(1, 2), (1, 1)]
    fixed = GROWS.partition("stage")[0].format("(lr: mup, tuned_at: 64)") + "traversal fixed(shape: (width: 32))\n"
    (stage,) = compiled(tmp_path, fixed + "budget 9 steps\n").stages
    assert stage.matrix_rate == 2, "a run that stays in one width has the rate of one that comes to it"


FACTS = {
    "images": DataFacts("images", image=8, channels=1, classes=10, batch=64),
    "text": DataFacts("text", vocabulary=256, batch=512),
}
BLOCK = {f"attn.{one}" for one in ("q", "k", "v", "o")}


def declared(component: Any, kind: str) -> Model:
    model: Model = component.declare(FACTS[kind], {})
    return model


@pytest.mark.parametrize(
    ("model", "wide"),
    [
        (declared(Vit(depth=2, width=32, head_width=8, patch=4), "images"), BLOCK | {"mlp.fc1", "mlp.fc2", "head"}),
        (
            declared(Transformer(depth=2, width=32, head_width=8, context=32, tied=False), "text"),
            BLOCK | {"mlp.gate", "mlp.up", "mlp.down", "head"},
        ),
        (
            declared(Transformer(depth=2, width=32, head_width=8, context=32, tied=True), "text"),
            BLOCK | {"mlp.gate", "mlp.up", "mlp.down"},
        ),
    ],
    ids=["vit", "untied", "tied"],
)
def test_matrices_that_read_channels_are_identified_by_their_dims(model: Model, wide: set[str]) -> None:
    """Embeddings (also tied ones), positions, the patch kernel, norms and biases keep their learning rate."""
    found = {p.name.removeprefix("blocks.{depth}.").removesuffix(".weight") for p in model.parameters if reads_width(p)}
    assert found == wide


def test_mup_needs_the_width_it_was_tuned_at(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, GROWS.format("(lr: mup)"))
    assert (one.code, one.help) == (
        "missing-setting",
        "add the width at which the optimizer's `lr` was tuned: `tuned_at: 192`",
    )
    (one,) = refused(tmp_path, GROWS.format("(tuned_at: 32)"))
    assert one.code == "idle-setting"


# -- batches -----------------------------------------------------------------------------------------------------------


def batches(via: str, values: str = "[64, 256]") -> str:
    return BATCHES + f"axis batch in {values} via batch_resize({via})\ntraversal evenly\nbudget 100 epochs\n"


@pytest.mark.parametrize(("rule", "rate"), [("sqrt", 2.8284e-3), ("linear", 8e-3), ("keep", 1e-3)])
def test_eight_times_the_batch(tmp_path: Path, rule: str, rate: float) -> None:
    """The learning rate 1e-3 applies to the data's batch of 256; this is its value at a batch of 2048."""
    text = BATCHES.replace("digits(batch: 64)", "fashion_mnist(batch: 256)")
    text += f"axis batch in [256, 2048] via batch_resize(lr: {rule})\ntraversal evenly\nbudget 9 epochs\n"
    plan = compiled(tmp_path, text, "optimizer adamw(lr: 1e-3, warmup: 0 steps)")
    found = [factors(plan, stage.first_step).rate for stage in plan.stages]
    assert found == pytest.approx([1e-3, rate], rel=1e-4)


def test_a_table_is_exact_at_its_batches(tmp_path: Path) -> None:
    plan = compiled(tmp_path, batches("lr: table, at: [32, 64, 256], factors: [0.3, 1, 1.8]"))
    assert [stage.learning_rate for stage in plan.stages] == [1, 1.8]
    text = TEXTS.rpartition("axis")[0].replace("width: 64", "context: 64 tokens, width: 64")
    text += (
        "axis batch in [512, 2048] tokens via batch_resize(lr: table, at: [512, 2048] tokens, factors: [0.7, 1.3])\n"
        "traversal evenly\nbudget 1 PFLOPs\n"
    )
    assert [stage.learning_rate for stage in compiled(tmp_path, text).stages] == [0.7, 1.3]


@pytest.mark.parametrize(
    ("via", "code", "label"),
    [
        ("lr: table", "missing-setting", "`at` is not set"),
        ("lr: table, at: [64, 256]", "missing-setting", "`factors` is not set"),
        ("at: [64, 256]", "idle-setting", "has no effect"),
        ("lr: linear, factors: [1, 2]", "idle-setting", "has no effect"),
        ("lr: table, at: [64, 256], factors: [1]", "rate-table", "1 for 2 batches"),
        ("lr: table, at: [256, 64], factors: [1, 2]", "rate-table", "not in ascending order"),
        ("lr: table, at: [64, 64, 256], factors: [1, 1, 2]", "rate-table", "not in ascending order"),
        ("lr: table, at: [64, 128], factors: [1, 2]", "rate-table", "not in this list"),
        ("lr: table, at: [64, 256] tokens, factors: [1, 2]", "wrong-unit", "a different unit"),
        ("lr: table, at: [64, 256], factors: [1, 0]", "out-of-range", "must be above 0"),
        ("lr: table, at: [0, 256], factors: [1, 2]", "out-of-range", "must be at least 1"),
    ],
)
def test_tables_that_say_too_little(tmp_path: Path, via: str, code: str, label: str) -> None:
    (one,) = refused(tmp_path, batches(via))
    assert one.at is not None
    assert (one.code, one.at.text) == (code, label)


def test_a_table_that_was_made_without_a_file_is_checked_too() -> None:
    table = BatchResize(lr="table", at=(Amount(64, "number"), Amount(256, "number")), factors=(1.0, 2.0))
    with pytest.raises(EditError, match="rate-table"):
        table.agree("number", (64, 512))
    assert table.learning_rate(FACTS["images"], Shape.of(batch=256)) == 2


@pytest.mark.parametrize(
    ("said", "message", "why"),
    [
        ("700 steps", "the cooldown is longer than the plan", "the plan has 600 steps"),
        ("0.4 steps", "the cooldown has no steps", "shorter than the plan's last step"),
        ("10 samples", "the cooldown has no steps", "shorter than the plan's last step"),
    ],
)
def test_cooldowns_that_do_not_fit_a_plan(tmp_path: Path, said: str, message: str, why: str) -> None:
    (one,) = refused(tmp_path, BY_HAND, f"cooldown {said}")
    assert (one.code, one.message) == ("out-of-range", message)
    assert one.at is not None
    assert one.at.text == why


def test_a_single_step_is_written_in_the_singular(tmp_path: Path) -> None:
    lines = list(rate_lines(compiled(tmp_path, BY_HAND, "cooldown 1 steps")))
    assert any("over the last step, from step 599" in line for line in lines)
