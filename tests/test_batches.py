"""Plans whose batch changes: the data, steps and learning rate of every stage."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest
from sources import IMAGES, TEXTS, compiled, refused

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan_check import faults
from shapeflow.ir.rates import horizon, remembered
from shapeflow.preview.rates import rate_lines

DIGITS = IMAGES.replace("heads: 2", "heads: 2, patch: 4 px")
BATCHES = DIGITS + (
    "axis batch in [16, 64, 256] via batch_resize\nstage (batch: 16) until 40%\nstage (batch: 64) until 80%\n"
    "stage (batch: 256) until end\n"
)
TEXT = TEXTS.rpartition("axis")[0]
TOKENS = TEXT + "axis batch in [512, 1024] tokens via batch_resize\n"


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        ("100 steps", [40, 40, 20]),
        ("12800 samples", [320, 80, 10]),
        ("12800 images", [320, 80, 10]),
        ("2 epochs", [72, 18, 2]),
    ],
)
def test_stages_are_counted_in_their_own_batches(tmp_path: Path, budget: str, steps: list[int]) -> None:
    plan = compiled(tmp_path, BATCHES, f"budget {budget}")
    assert [stage.steps for stage in plan.stages] == steps
    assert [stage.batch for stage in plan.stages] == [16, 64, 256]
    costs = [stage.cost / batch for stage, batch in zip(plan.stages, (16, 64, 256), strict=True)]
    assert costs == pytest.approx([costs[0]] * 3)
    assert [stage.learning_rate for stage in plan.stages] == [0.5, 1, 2], "the data's own batch is 64"


def test_memory_in_samples_follows_the_batch(tmp_path: Path) -> None:
    """At 8 times the batch, beta2 0.999 becomes 0.992028: second moment and average cover as many samples as before."""
    text = BATCHES.replace("via batch_resize", "via batch_resize(beta2: samples)").replace("256", "512")
    plan = compiled(tmp_path, text + "optimizer adamw(beta2: 0.999)\n", "budget 100 steps")
    assert [stage.memory for stage in plan.stages] == [0.25, 1, 8]
    assert 0.999 ** plan.stages[2].memory == pytest.approx(0.992028, abs=5e-7)
    assert [remembered(plan, 89, steps) for steps in (0, 5, 10, 50, 90)] == [0, 40, 80, 120, 130]
    assert [horizon(200, memory) for memory in (1, 8)] == pytest.approx([1 / 200, 1 - (1 - 1 / 200) ** 8])
    assert "beta2 0.992028 and averaging horizon 25.4 steps" in "\n".join(rate_lines(plan))
    kept = compiled(tmp_path, BATCHES, "budget 100 steps")
    assert [stage.memory for stage in kept.stages] == [1, 1, 1]
    assert "beta2" not in "\n".join(rate_lines(kept))


@pytest.mark.parametrize("memory", [0.0, -1.0, math.inf])
def test_a_plan_with_an_invalid_memory_is_refused(tmp_path: Path, memory: float) -> None:
    plan = compiled(tmp_path, BATCHES, "budget 100 steps")
    first, *others = plan.stages
    wrong = attrs.evolve(plan, stages=(attrs.evolve(first, memory=memory), *others))
    assert list(faults(wrong)) == [f"stage 1: its decays are raised to the power {memory:g}"]


def test_compute_buys_the_same_data_at_every_batch(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BATCHES, "budget 1e12 FLOPs")
    data = [(stage.steps or 0) * (stage.batch or 0) for stage in plan.stages]
    assert data == pytest.approx([0.4 * sum(data), 0.4 * sum(data), 0.2 * sum(data)], rel=0.02)


def test_stages_end_and_evaluations_come_after_so_much_data(tmp_path: Path) -> None:
    text = (
        TOKENS
        + "axis context in [64, 256] tokens via context_grow\n"
        + (
            "stage (batch: 512 tokens, context: 64 tokens) until 51200 tokens\n"
            "stage (batch: 1024 tokens, context: 256 tokens) until end\nevaluate every 15360 tokens\n"
            "checkpoint every 25%\nbudget 153600 tokens\n"
        )
    )
    plan = compiled(tmp_path, text)
    assert [stage.steps for stage in plan.stages] == [100, 100]
    assert (plan.evaluate, plan.checkpoint) == (20, 50), "768 tokens a step on average"
    first, second = plan.stages
    assert second.arrives_by == "batch_resize + context_grow"
    assert second.step_compute is not None
    (blend,) = first.blends
    assert blend.shape == Shape.of(batch=512, context=256), "the context is previewed, the batch is not"


def test_a_rule_spends_a_budget_of_data(tmp_path: Path) -> None:
    """Shares of compute are shares of data, since a step at four times the batch costs four times as much."""
    text = DIGITS + "axis batch in [16, 64] via batch_resize\ntraversal evenly\nbudget 12800 samples\n"
    assert [stage.steps for stage in compiled(tmp_path, text).stages] == [400, 100]
    laws = (
        "law for (batch: 16) is power(a: 4, b: 0.1, c: 0, d: 0)\n"
        "law for (batch: 64) is power(a: 40, b: 0.2, c: 0, d: 0)\n"
    )
    text = text.replace("evenly", "steepest") + laws + "start at error 300%\n"
    plan = compiled(tmp_path, text)
    assert sum((stage.steps or 0) * (stage.batch or 0) for stage in plan.stages) == pytest.approx(12800, abs=64)


def test_no_stage_has_two_batches(tmp_path: Path) -> None:
    mixed = DIGITS + "axis batch in [16, 64] via batch_resize\nbudget 100 steps\n"
    (one,) = refused(tmp_path, mixed + "stage (batch: 16) with 10% (batch: 64) until end\n")
    assert (one.code, one.help) == ("not-blendable", "use one stage for each")


def test_a_preview_that_is_not_a_candidate_is_left_out(tmp_path: Path) -> None:
    text = (
        TOKENS
        + "axis context in [64, 1024] tokens via context_grow\n"
        + (
            "candidates batch * context where batch >= 1024 tokens or context <= 64 tokens\n"
            "stage (batch: 512 tokens, context: 64 tokens) until 50%\n"
            "stage (batch: 1024 tokens, context: 1024 tokens) until end\nbudget 100 steps\n"
        )
    )
    assert [stage.blends for stage in compiled(tmp_path, text).stages] == [(), ()]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("wrong-unit", DIGITS + "axis batch in [512, 1024] tokens via batch_resize\n"),
        ("wrong-unit", TOKENS.replace("] tokens", "]") + "axis context in [64] tokens via context_grow\n"),
        ("wrong-unit", DIGITS + "axis batch in [512 tokens, 64 samples] via batch_resize\n"),
        ("wrong-value", DIGITS + "axis batch in [512, 2048] via batch_resize\n"),
        ("tokens-per-step-not-integral", TOKENS + "axis context in [64, 1024] tokens via context_grow\n"),
    ],
)
def test_batches_that_cannot_be(tmp_path: Path, code: str, text: str) -> None:
    assert {one.code for one in refused(tmp_path, text + "traversal evenly\nbudget 1 PFLOPs\n")} == {code}
