"""What a plan asks of a user's module and optimizer, and is refused before anything was changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from plans import toy_text_plan
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.context_grow import ContextGrow

transformers = peers.hugging_face()

from adopted import CLIP, MODEL, PLAN, TOKENS, llama, model  # noqa: E402

import shapeflow.hf  # noqa: E402
from shapeflow.torch import HF_LLAMA, grow, rehearse  # noqa: E402

DEEPER = toy_text_plan(
    (({"depth": 2, "width": 16}, 2), ({"depth": 3, "width": 16}, 2), ({"depth": 3, "width": 32}, 2)),
    preview=0.0,
    model=MODEL,
)
"""Switches of depth and of width."""
WIDER = toy_text_plan((({"depth": 2, "width": 16}, 2), ({"depth": 2, "width": 32}, 2)), preview=0.0, model=MODEL)


def refusal(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.diagnostics[0]


def logits(net: Any) -> Tensor:
    found: Tensor = net(torch.arange(24)[None]).logits
    return found


def trainer(folder: Path, net: Any, **settings: Any) -> Any:
    chosen: dict[str, Any] = {
        "learning_rate": 2e-3, "lr_scheduler_type": "constant", "report_to": [], "use_cpu": True, "disable_tqdm": True,
        "save_strategy": "no", "max_grad_norm": CLIP, "optim": "adamw_torch",
    }  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **{**chosen, **settings})
    made = transformers.Trainer(net, args, train_dataset=TOKENS)
    made.remove_callback(transformers.PrinterCallback)
    return made


def half_frozen(block: int) -> Any:
    net = model(num_hidden_layers=2)
    net.model.layers[block].requires_grad_(False)
    return net


@pytest.mark.parametrize("block", [0, 1])
def test_blocks_frozen_next_to_trained_ones_are_refused_where_the_depth_changes(block: int, tmp_path: Path) -> None:
    """A new block is a copy of the first, so it would be frozen, or a frozen one would be trained."""
    net = half_frozen(block)
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.AdamW([weight for weight in net.parameters() if weight.requires_grad])
    for call in (
        lambda: grow(net, optimizer, DEEPER, 0, HF_LLAMA),
        lambda: rehearse(net, DEEPER, HF_LLAMA, logits),
    ):
        found = refusal(call)
        assert found.code == "unfit-model"
        assert f"layers.{block}.input_layernorm.weight` is frozen" in found.message
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    made = trainer(tmp_path, net)
    shapeflow.hf.follow(made, DEEPER, HF_LLAMA)
    assert "is frozen" in refusal(made.train).message
    assert made.state.global_step == 0


def test_frozen_blocks_that_grow_in_width_stay_out_of_the_optimizer() -> None:
    net = half_frozen(1)
    optimizer = torch.optim.AdamW([weight for weight in net.parameters() if weight.requires_grad])
    net(input_ids=torch.arange(24)[None], labels=torch.arange(24)[None]).loss.backward()
    optimizer.step()
    grow(net, optimizer, WIDER, 0, HF_LLAMA)
    assert not any(weight.requires_grad for weight in net.model.layers[1].parameters())
    wanted = [id(weight) for weight in net.parameters() if weight.requires_grad]
    assert [id(weight) for weight in optimizer.param_groups[0]["params"]] == wanted


def test_frozen_embeddings_stay_frozen_while_a_model_grows() -> None:
    net = model(num_hidden_layers=2)
    net.model.embed_tokens.requires_grad_(False)
    optimizer = torch.optim.AdamW([weight for weight in net.parameters() if weight.requires_grad])
    grow(net, optimizer, DEEPER, 0, HF_LLAMA)
    grow(net, optimizer, DEEPER, 1, HF_LLAMA)
    assert [name for name, weight in net.named_parameters() if not weight.requires_grad] == [
        "model.embed_tokens.weight"
    ]
    assert len(optimizer.param_groups[0]["params"]) == len(list(net.parameters())) - 1


def stretched(rope: Any, **settings: Any) -> Plan:
    """A plan that reads contexts beyond 16 tokens with other angles, and then grows."""
    grown = ContextGrow(rope=rope, trained=16, allow_lossy=True, **settings)
    legs = [{"context": 16, "width": 16}, {"context": 32, "width": 16}, {"context": 32, "width": 32}]
    return toy_text_plan([({**leg, "depth": 1}, 2) for leg in legs], preview=0.0, model=MODEL, context=grown)


@pytest.mark.parametrize(("rope", "settings"), [("linear", {}), ("ntk", {}), ("yarn", {}), ("base", {"base": 5e5})])
def test_plans_that_change_the_angles_of_positions_are_refused(
    rope: str, settings: dict[str, float], tmp_path: Path
) -> None:
    """A module keeps its own angles, so it would compute something else than the plan says."""
    plan, net = stretched(rope, **settings), llama()
    for call in (
        lambda: grow(net, None, plan, 0, HF_LLAMA),
        lambda: rehearse(net, plan, HF_LLAMA, logits),
        lambda: shapeflow.hf.follow(trainer(tmp_path, net), plan, HF_LLAMA),
    ):
        found = refusal(call)
        assert (found.code, "rope: keep" in str(found.help)) == ("unfit-plan", True)


@pytest.mark.parametrize("adapter", [None, HF_LLAMA])
def test_a_trainer_resets_moments_where_only_the_batch_changes(adapter: Any, tmp_path: Path) -> None:
    legs = (({"batch": 64, "width": 16, "depth": 1}, 3), ({"batch": 128, "width": 16, "depth": 1}, 2))
    plan = toy_text_plan(legs, preview=0.0, model=MODEL, batch=BatchResize(moments="reset"))
    made = trainer(tmp_path, llama())
    shapeflow.hf.follow(made, plan, adapter)
    made.train()
    counts = {float(state["step"]) for state in made.optimizer.optimizer.state.values()}
    assert counts == {2.0}


def test_optimizers_that_cannot_follow_are_refused_before_the_first_step(tmp_path: Path) -> None:
    made = trainer(tmp_path, llama(), optim="adagrad")
    shapeflow.hf.follow(made, PLAN, HF_LLAMA)
    assert refusal(made.train).code == "unfit-optimizer"
    assert made.state.global_step == 0


def test_an_averaged_module_in_its_wrapper() -> None:
    net = model(num_hidden_layers=2)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    found = refusal(lambda: grow(net, None, WIDER, 0, HF_LLAMA, average=averaged))
    assert (found.code, "give the `module` in the `AveragedModel`" in str(found.help)) == ("unfit-model", True)
    grow(net, None, WIDER, 0, HF_LLAMA, average=averaged.module)
    averaged.update_parameters(net)
    assert torch.equal(logits(averaged), logits(net))


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_is_tied_on_one_side_alone(tied: bool) -> None:
    plan = toy_text_plan(
        (({"width": 16, "depth": 1}, 2), ({"width": 32, "depth": 1}, 2)), model={**MODEL, "tied": not tied}
    )
    found = refusal(lambda: grow(model(tie_word_embeddings=tied), None, plan, 0, HF_LLAMA))
    assert "lm_head.weight" in found.notes[0]
    assert "`tied`" in str(found.help)


@pytest.mark.parametrize("tied", [True, False])
def test_a_rehearsal_accepts_half_precision_dropout_and_frozen_tensors(tied: bool) -> None:
    legs = [{"width": 16, "depth": 1}, {"width": 32, "depth": 1}, {"width": 32, "depth": 2}]
    plan = toy_text_plan([(leg, 2) for leg in legs], preview=0.0, model={**MODEL, "tied": tied})
    net = model(tie_word_embeddings=tied, attention_dropout=0.3).bfloat16().train()
    net.model.embed_tokens.requires_grad_(False)
    found = rehearse(net, plan, HF_LLAMA, logits)
    assert [one.exact for one in found] == [True, True]
    assert max(one.changed for one in found) < 1e-6
    assert (net.training, net.dtype) == (True, torch.bfloat16)
