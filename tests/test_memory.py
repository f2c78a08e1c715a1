"""Estimates of memory: what torch keeps, to the byte, and their place on the screen."""

from __future__ import annotations

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan
from test_torch_memory import saved
from torch_tools import machine, switch

from shapeflow.ir.memory import Activations, Choices, Need
from shapeflow.ir.parameters import scalars
from shapeflow.models.transformer import Transformer
from shapeflow.optimizers.muon import Muon
from shapeflow.optimizers.sgd import Sgd
from shapeflow.preview.memory import memory_json, memory_line
from shapeflow.running.memory import memories, needs
from shapeflow_torch.machine import TorchMachine

TEXT = (({"depth": 1, "context": 32}, 1), ({"depth": 2, "context": 32}, 1))
IMAGES = (({"depth": 1, "patch": 2}, 1), ({"depth": 2, "patch": 2}, 1))
PLANS = {
    "text": toy_text_plan(TEXT),
    "shared heads": toy_text_plan(TEXT, model={"kv_ratio": 2, "mlp_ratio": 2.0}),
    "images": toy_image_plan(IMAGES),
    "class token": toy_image_plan(IMAGES, model={"pool": "cls", "registers": 2}),
}


def kept(made: TorchMachine) -> int:
    """The bytes that the forward pass of a step keeps."""
    inputs = made._asked(made.plan.stages[0], 0).inputs
    return saved(lambda: made.body.net(inputs), made.body.net)


@pytest.mark.parametrize("name", PLANS)
def test_what_a_block_keeps_is_what_torch_keeps(name: str) -> None:
    plan = PLANS[name]
    made = machine(plan)
    shallow = kept(made)
    switch(made)
    deep = kept(made)
    need = needs(plan, "cpu")[plan.stages[1].shape]
    assert deep - shallow == pytest.approx(need.samples * need.activations.block, rel=1e-6)
    assert shallow == pytest.approx(need.samples * (need.activations.block + need.activations.rest), rel=0.1)


def test_a_mask_is_kept_once_and_repeats_shared_heads() -> None:
    made = machine(PLANS["shared heads"])
    found = []
    for step in range(2):
        if step:
            switch(made)
        made.body.net.slots = {**made.body.net.slots, "attend.separator": 10}
        found.append(kept(made))
    sizes = dict(PLANS["shared heads"].stages[1].sizes)
    slots = {"context": 32, "head_width": 8, "attend.separator": 10}
    declared = Transformer(depth=2, width=32, heads=4).activations(sizes, slots, "cpu")
    assert declared is not None
    assert found[1] - found[0] == pytest.approx(8 * declared.block, rel=1e-6)


@pytest.mark.parametrize(("optimizer", "parts"), [(None, 2), (Sgd(), 1), (Sgd(momentum=0.0), 0)])
def test_weights_and_state(optimizer: Sgd | None, parts: int) -> None:
    plan = toy_text_plan(TEXT, optimizer=optimizer)
    for stage, found in zip(plan.stages, memories(plan, Choices()), strict=True):
        count = 4 * scalars(plan.parameters, stage.sizes)
        assert (found.weights, found.gradients, found.average) == (count, count, count)
        assert found.optimizer == parts * count


def test_muon_keeps_one_momentum_of_a_matrix() -> None:
    adamw, muon = (memories(toy_text_plan(TEXT, optimizer=one), Choices())[1] for one in (None, Muon()))
    blocks = sum(
        p.numel() for name, p in machine(PLANS["text"]).body.net.named_parameters() if "blocks" in name and p.dim() == 2
    )
    assert adamw.optimizer - muon.optimizer == 2 * 4 * blocks  # two blocks


def test_less_at_once_needs_less() -> None:
    plan = toy_text_plan((({"context": 64, "depth": 4}, 1),))
    whole, small, again, both = (
        memories(plan, Choices(micro_batch=count, recompute=recompute))[0].step
        for count, recompute in ((None, False), (1, False), (None, True), (1, True))
    )
    assert both < small < whole
    assert both < again < whole
    shared = memories(plan, Choices(processes=2))[0]
    assert shared.activations == memories(plan, Choices(micro_batch=2))[0].activations
    assert shared.gradients == 2 * shared.weights, "torch gathers gradients in buckets to average them"


def test_a_loss_in_parts_does_not_grow_with_the_tokens() -> None:
    made = Activations(0, 0, 0, 0, 0, logits=1024 * 32_000, rows=1024, head=4.0 * 32_000 * 64)
    need = Need(64, 0, 0, 0, 0, 0, 12.0, made, 1)
    few, many = (need.memory(Choices(micro_batch=count)).logits for count in (8, 64))
    assert many - few == 56 * 1024 * 4 * 64, "only the gradients of the features grow"


def test_the_largest_of_blends_and_stages_is_shown() -> None:
    plan = toy_image_plan(preview=0.25)
    first, last = memories(plan, Choices())
    assert first.step == last.step, "the blend of the first stage is the shape of the last"
    (line,) = memory_line(plan)
    assert line.startswith("memory: ")
    assert line.endswith("in the stages, in one process on a CPU")
    (stage, _) = memory_json(plan)
    assert stage["cpu"]["peak"] == max(first.step, first.evaluation)
    assert set(stage) == {"cpu", "cuda", "cpu_checkpointed", "cuda_checkpointed"}
    assert stage["cuda"]["activations"] < stage["cpu"]["activations"]


def test_a_plan_without_a_model_has_no_estimate() -> None:
    plan = attrs.evolve(PLANS["text"], model=None)
    assert needs(plan, "cpu") == {}
    assert list(memory_line(plan)) == []
    assert memory_json(plan) == []
