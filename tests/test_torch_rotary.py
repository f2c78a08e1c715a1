"""Rotary positions: published frequencies, and how a reading changes them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peers import transformers
from plans import toy_image_plan, toy_text_plan
from torch import Tensor
from torch_tools import CPU, followed, machine, outputs, relative, shake, switch

from shapeflow.transitions.context_grow import ContextGrow
from shapeflow_torch.compilation import allow_graphs
from shapeflow_torch.models.rotary import Rope, Rotary, rates, turn


def rates_of(width: int, rope: Rope) -> list[float]:
    return [float(rate) for rate in rates(width, rope)[0]]


def test_rates_of_four_pairs() -> None:
    assert rates_of(8, Rope(1e4)) == pytest.approx([1, 0.1, 0.01, 0.001], rel=1e-12)


def test_the_first_channel_is_turned_towards_its_partner() -> None:
    """Channels i and i + width / 2 form a pair, as in Llama's published weights."""
    table = Rotary(8).table(3, Rope(1e4), CPU)
    turned = turn(torch.eye(8)[0].expand(1, 1, 3, 8), table)[0, 0]
    assert turned[1, [0, 4]].tolist() == pytest.approx([0.540302, 0.841471], abs=1e-6)
    assert turned[2, [0, 4]].tolist() == pytest.approx([-0.416147, 0.909297], abs=1e-6)
    assert not turned[:, [1, 2, 3, 5, 6, 7]].any()


@pytest.mark.parametrize(("width", "base"), [(8, 63496.0), (64, 41829.37)])
def test_ntk_is_another_base(width: int, base: float) -> None:
    assert rates_of(width, Rope(1e4, "ntk", 4.0)) == pytest.approx(rates_of(width, Rope(base)), rel=2e-6)
    fast, slow = (rates_of(width, Rope(1e4, "ntk", 4.0))[at] / rates_of(width, Rope(1e4))[at] for at in (0, -1))
    assert (fast, slow) == pytest.approx((1, 1 / 4), rel=1e-12)


def test_linear_divides_every_rate() -> None:
    assert rates_of(8, Rope(1e4, "linear", 4.0)) == pytest.approx([0.25, 0.025, 0.0025, 0.00025], rel=1e-12)


def test_yarn_divides_slow_rates_and_sharpens() -> None:
    assert rates_of(8, Rope(1e4, "yarn", 4.0, 128)) == pytest.approx([1, 0.0625, 0.0025, 0.00025], rel=1e-12)
    for factor, sharpened in ((4.0, 1.138629), (8.0, 1.207944)):
        assert rates(8, Rope(1e4, "yarn", factor, 128))[1] == pytest.approx(sharpened, abs=1e-6)


@pytest.mark.parametrize("rule", ["linear", "ntk", "yarn"])
def test_a_factor_of_one_changes_nothing(rule: str) -> None:
    assert rates(8, Rope(1e4, rule, 1.0, 128))[1] == 1
    assert rates_of(8, Rope(1e4, rule, 1.0, 128)) == rates_of(8, Rope(1e4))


def published(kind: str, width: int, trained: int, factor: float) -> tuple[Tensor, float]:
    """The frequencies and attention factor that Hugging Face's library computes for a Llama with four heads."""
    llama = transformers()
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    # With a factor of 1, `dynamic` scales the base by the length of the current sequence only.
    own = 1.0 if kind == "dynamic" else factor
    config = llama.LlamaConfig(
        hidden_size=4 * width,
        num_attention_heads=4,
        max_position_embeddings=trained if kind == "dynamic" else int(trained * factor),
        rope_parameters={
            "rope_type": kind,
            "rope_theta": 1e4,
            "factor": own,
            "original_max_position_embeddings": trained,
        },
    )
    found: tuple[Tensor, float] = ROPE_INIT_FUNCTIONS[kind](config, CPU, seq_len=int(trained * factor))
    return found


@pytest.mark.parametrize(("rule", "kind"), [("linear", "linear"), ("ntk", "dynamic"), ("yarn", "yarn")])
@pytest.mark.parametrize(("width", "trained", "factor"), [(8, 128, 4.0), (64, 2048, 8.0), (128, 4096, 16.0)])
def test_rates_are_those_of_hugging_face(rule: str, kind: str, width: int, trained: int, factor: float) -> None:
    expected, sharpened = published(kind, width, trained, factor)
    found = rates(width, Rope(1e4, rule, factor, trained))
    assert torch.allclose(found[0].float(), expected, rtol=2e-6, atol=0)
    assert found[1] == pytest.approx(sharpened, rel=1e-12)


def test_a_longer_table_begins_with_the_shorter_one() -> None:
    for rope in (Rope(1e4), Rope(1e4, "yarn", 4.0, 128)):
        short, long = Rotary(32).table(17, rope, CPU), Rotary(32).table(1000, rope, CPU)
        assert torch.equal(short, long[:, :17])
    grown = Rotary(32)
    first = grown.table(17, Rope(1e4), CPU)
    assert torch.equal(grown.table(64, Rope(1e4), CPU)[:, :17], first)
    assert not torch.equal(grown.table(17, Rope(1e4, "linear", 2.0), CPU), first)
    assert torch.equal(grown.table(17, Rope(1e4), CPU), first)


CHANGED: list[dict[str, Any]] = [
    {"rope": "linear"},
    {"rope": "ntk"},
    {"rope": "yarn"},
    {"rope": "base", "base": 5e5},
]


@pytest.mark.parametrize("settings", CHANGED, ids=[settings["rope"] for settings in CHANGED])
def test_a_switch_of_context_changes_what_the_module_reads(settings: dict[str, Any]) -> None:
    """The reading of the previous shape restores the function bit for bit, as blended steps require."""
    plan = toy_text_plan(context=ContextGrow(**settings, trained=16, allow_lossy=True))
    made = shake(machine(plan))
    tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = made.body.net(tokens)
    average = made.average_age
    switch(made)
    with torch.no_grad():
        after = made.body.net(tokens)
    assert 1e-3 < relative(after, before) < 1
    assert average > 0
    assert made.average_age == 0
    made.look(plan.stages[0].reading)
    with torch.no_grad():
        assert torch.equal(made.body.net(tokens), before)


def test_a_kept_base_keeps_the_logits_exactly() -> None:
    made = shake(machine(toy_text_plan()))
    tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = made.body.net(tokens)
        switch(made)
        made.body.net(tokens.repeat(1, 4))
        assert torch.equal(made.body.net(tokens), before)


def test_stretched_positions_train_with_previews() -> None:
    plan = toy_text_plan(
        (({"context": 16}, 8), ({"context": 64}, 8)),
        preview=0.3,
        context=ContextGrow(rope="yarn", trained=16, allow_lossy=True),
    )
    made, events = followed(plan)
    assert made.ledger.slots["rope.factor"] == 4.0
    assert math.isfinite(float(outputs(made).sum()))
    assert len(events) > 16


def test_every_context_has_a_table_of_its_own_strides() -> None:
    rotary = Rotary(8)
    for tokens in (16, 64, 16):
        table = rotary.table(tokens, Rope(1e4), CPU)
        assert table.is_contiguous()
    assert rotary.table(16, Rope(1e4), CPU) is table


def test_a_context_that_returns_is_not_compiled_again() -> None:
    from torch._dynamo.testing import CompileCounter

    graphs = CompileCounter()
    net = machine(toy_text_plan((({"context": 16}, 4),))).body.net
    net.blocks[0].compile(backend=graphs, dynamic=True)
    counts = []
    for samples, context in ((8, 16), (4, 64), (8, 16), (8, 32), (2, 64)):
        net(torch.zeros(samples, context, dtype=torch.long))
        counts.append(graphs.frame_count)
    assert counts[1:] == counts[1:2] * 4


def test_torch_may_compile_a_block_for_every_shape_of_a_plan() -> None:
    from torch._dynamo import config as dynamo

    plan = toy_image_plan([({"batch": 2 * number}, 1) for number in range(1, 61)])
    with dynamo.patch(recompile_limit=8, accumulated_recompile_limit=256):
        allow_graphs(plan)
        assert (dynamo.recompile_limit, dynamo.accumulated_recompile_limit) == (360, 360)
        allow_graphs(toy_image_plan())
        assert dynamo.recompile_limit == 360
