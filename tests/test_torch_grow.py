"""The edits of a plan's switches on a module of one's own, with its optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plans import toy_text_plan
from test_torch_llama import llama, logits, theirs
from torch import nn
from torch_tools import machine, parameters, relative, shake

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan
from shapeflow.optimizers.adamw import Adamw
from shapeflow.torch import HF_LLAMA, become, grow
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.optimizers.aged import AgedAdamW


def aged() -> tuple[nn.Linear, AgedAdamW]:
    """A module whose weight has rows and columns of three ages."""
    torch.manual_seed(0)
    net = nn.Linear(6, 5)
    optimizer = AgedAdamW(net.parameters(), 1e-2, (0.9, 0.999), fused=True)
    update(net, optimizer)
    step = torch.full((5, 6), 9.0)
    step[3:], step[:, 4:] = 2.0, 0.0
    moments = {part: tensor for part, tensor in optimizer.state[net.weight].items() if part != "step"}
    optimizer.adopt(net.weight, {**moments, "step": step})
    return net, optimizer


def update(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    inputs = torch.randn(7, 6, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    net(inputs).square().mean().backward()
    optimizer.step()


def test_ages_are_part_of_the_state_of_the_optimizer() -> None:
    """As every trainer saves it: an optimizer of the same class, made again, goes on with the same bits."""
    net, optimizer = aged()
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(net.state_dict())
    ages = optimizer.state_of(net.weight)["step"]
    assert ages.unique().tolist() == [0.0, 2.0, 9.0]
    again = nn.Linear(6, 5)
    again.load_state_dict(weights)
    loaded = AgedAdamW(again.parameters(), 1e-2, (0.9, 0.999), fused=True)
    loaded.load_state_dict(state)
    assert torch.equal(loaded.state_of(again.weight)["step"], ages)
    for seed in range(5):
        update(net, optimizer, seed)
        update(again, loaded, seed)
    assert torch.equal(net.weight, again.weight)
    assert copy.deepcopy(optimizer).state_dict()["state"][0]["step"].dim() == 2


PLAN = toy_text_plan(
    (
        ({"context": 16, "width": 32, "depth": 2}, 4),
        ({"context": 16, "width": 64, "depth": 2}, 3),
        ({"context": 32, "width": 64, "depth": 4}, 3),
    ),
    model={"kv_ratio": 2, "tied": False},
    optimizer=Adamw(lr=2e-3, warmup=4, beta2=0.999, weight_decay=0.01),
)


def taken(plan: Plan = PLAN) -> tuple[TorchMachine, Any, torch.optim.AdamW]:
    """A machine after some steps, and Hugging Face's Llama and a stock optimizer with the same tensors and state."""
    made = shake(machine(plan))
    net = llama(made).train()
    own = dict(net.named_parameters())
    groups = [[p for p in own.values() if (p.dim() > 1) == matrices] for matrices in (True, False)]
    optimizer = torch.optim.AdamW([{"params": g, "weight_decay": 0.1 * len(g)} for g in groups], 2e-3, (0.9, 0.999))
    for name, state in made.body.kept().states.items():
        optimizer.state[own[theirs(name)]] = {part: tensor.clone() for part, tensor in state.items()}
    return made, net, optimizer


def to_stage(made: TorchMachine, index: int) -> None:
    stage = made.plan.stages[index]
    assert stage.transition is not None
    made.apply(stage.transition, stage)
    made.look(stage.reading)


def train(net: Any, optimizer: torch.optim.Optimizer, steps: int = 3, seed: int = 0) -> list[float]:
    """Losses of steps of a plain loop, which holds its last loss."""
    losses = []
    for step in range(steps):
        tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(seed + step))
        loss = net(input_ids=tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def same_as_machine(made: TorchMachine, net: Any, optimizer: torch.optim.Optimizer) -> None:
    own, states = dict(net.named_parameters()), made.body.kept().states
    assert own.keys() == {theirs(name) for name in parameters(made)}
    for name, weight in parameters(made).items():
        assert torch.equal(own[theirs(name)], weight), name
        have = optimizer.state_of(own[theirs(name)])  # type: ignore[attr-defined]
        for part, tensor in states[name].items():
            assert torch.equal(have[part].expand(weight.shape), tensor.expand(weight.shape)), (name, part)


def test_a_grown_llama_is_the_machines_tensor_by_tensor() -> None:
    """Weights, moments and ages, through width and then depth; the function is kept, and the groups stay."""
    made, net, optimizer = taken()
    net.eval()
    tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    for switch in (0, 1):
        before = logits(net, tokens)
        to_stage(made, switch + 1)
        grown = grow(net, optimizer, PLAN, switch, HF_LLAMA)
        same_as_machine(made, net, optimizer)
        assert relative(logits(net, tokens), before) < 1e-5
        assert relative(logits(net, tokens), outputs_of(made, tokens)) < 1e-5
        assert all((".layers.3." in name) or (switch == 0) or (".layers.2." in name) for name in grown.renewed)
        assert len(grown.renewed) == (len(list(net.parameters())) if switch == 0 else 18)
    assert (net.config.hidden_size, net.config.num_hidden_layers, net.config.num_attention_heads) == (64, 4, 8)
    assert [layer.self_attn.layer_idx for layer in net.model.layers] == [0, 1, 2, 3]
    assert all(layer.self_attn.config is net.config for layer in net.model.layers)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(net.parameters()))


def outputs_of(made: TorchMachine, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = made.body.net(tokens)
    return found


def test_a_loop_that_holds_its_last_loss_goes_on() -> None:
    """Replacing the data of a parameter fails in the next backward pass, if the last graph is still there."""
    _, net, optimizer = taken()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    loss = net(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimizer.step()
    for switch in (0, 1):
        grow(net, optimizer, PLAN, switch, HF_LLAMA)
        optimizer.zero_grad()
        again = net(input_ids=tokens, labels=tokens).loss
        again.backward()
        optimizer.step()
        schedule.step()
    assert train(net, optimizer)[-1] < loss.item() + 0.2


def test_a_run_resumed_after_a_growth_has_each_state_in_its_place() -> None:
    """As every trainer does: `state_dict` of both, into a new module and a new optimizer. The ages are part of it."""
    _, net, optimizer = taken()
    for switch in (0, 1):
        grow(net, optimizer, PLAN, switch, HF_LLAMA)
        train(net, optimizer, 1)
    weights, state = copy.deepcopy(net.state_dict()), copy.deepcopy(optimizer.state_dict())
    _, again, fresh = taken()
    become(again, PLAN, 8, HF_LLAMA, fresh)
    again.load_state_dict(weights)
    fresh.load_state_dict(state)
    assert train(again, fresh, 4) == train(net, optimizer, 4)


@pytest.mark.parametrize("kind", ["sgd", "adam", "several"])
def test_other_optimizers_get_zeros(kind: str) -> None:
    _, net, _ = taken()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() == 1]
    made_ = {
        "sgd": lambda: [torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)],
        "adam": lambda: [torch.optim.Adam(net.parameters(), 1e-3)],
        "several": lambda: [torch.optim.SGD(matrices, 1e-2, momentum=0.9), torch.optim.AdamW(rest, 1e-3)],
    }[kind]()
    for optimizer in made_:
        train(net, optimizer, 2)
    grow(net, made_, PLAN, 0, HF_LLAMA)
    weight = net.model.layers[1].mlp.down_proj.weight
    owner = next(o for o in made_ if any(p is weight for g in o.param_groups for p in g["params"]))
    part = "exp_avg" if kind == "adam" else "momentum_buffer"
    momentum = owner.state[weight][part]
    assert momentum[:32, :96].abs().min() > 0
    assert momentum[32:].abs().max() == 0
    assert type(owner) in (torch.optim.SGD, torch.optim.Adam)
    for optimizer in made_:
        train(net, optimizer, 1)


def test_an_averaged_module_grows_too() -> None:
    _, net, optimizer = taken()
    average = copy.deepcopy(net)
    train(net, optimizer, 2)
    net.eval()
    average.eval()
    tokens = torch.randint(0, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    before = logits(average, tokens)
    grow(net, optimizer, PLAN, 0, HF_LLAMA, average=average)
    assert relative(logits(average, tokens), before) < 1e-5


def refusal(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_bias", True),
        ("mlp_bias", True),
        ("sliding_window", 4096),
        ("hidden_act", "gelu"),
        ("num_key_value_heads", 4),
        ("head_dim", 16),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": 10000.0}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 5e5}),
    ],
)
def test_models_that_are_refused(key: str, value: Any) -> None:
    """Before anything is touched, and by the key of the config."""
    _, net, optimizer = taken()
    before = copy.deepcopy(net.state_dict())
    setattr(net.config, key, value)
    found = refusal(lambda: grow(net, optimizer, PLAN, 0, HF_LLAMA))
    assert found.code == "unfit-model"
    assert f"config.{key}" in found.message
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_tensors_that_are_refused() -> None:
    _, net, optimizer = taken()
    net.model.layers[0].self_attn.q_norm = nn.Linear(4, 4, bias=False)
    found = refusal(lambda: grow(net, optimizer, PLAN, 0, HF_LLAMA))
    assert found.code == "unfit-model"
    assert "model.layers.0.self_attn.q_norm.weight" in found.notes[0]
    _, net, optimizer = taken()
    assert refusal(lambda: grow(net, optimizer, PLAN, 1, HF_LLAMA)).code == "unfit-model"
    net.model.norm.variance_epsilon = 1e-3
    assert "variance_epsilon" in refusal(lambda: grow(net, optimizer, PLAN, 0, HF_LLAMA)).message


def test_optimizers_that_are_refused() -> None:
    _, net, _ = taken()
    adagrad = torch.optim.Adagrad(net.parameters(), 1e-3)
    assert refusal(lambda: grow(net, adagrad, PLAN, 0, HF_LLAMA)).code == "unfit-optimizer"
    layered = torch.optim.AdamW([{"params": list(layer.parameters())} for layer in net.model.layers], 1e-3)
    assert refusal(lambda: grow(net, layered, PLAN, 0, HF_LLAMA)).code == "unfit-optimizer"


def test_wrapped_modules_are_refused() -> None:
    _, net, optimizer = taken()
    assert refusal(lambda: grow(torch.compile(net), optimizer, PLAN, 0, HF_LLAMA)).code == "wrapped-module"  # type: ignore[arg-type]
    assert refusal(lambda: grow(nn.DataParallel(net), optimizer, PLAN, 0, HF_LLAMA)).code == "wrapped-module"
    net.model.layers[0].compile()
    assert refusal(lambda: grow(net, optimizer, PLAN, 0, HF_LLAMA)).code == "wrapped-module"


@pytest.mark.parametrize("switch", [-1, 2, True, "0"])
def test_switches_that_are_refused(switch: Any) -> None:
    _, net, optimizer = taken()
    assert refusal(lambda: grow(net, optimizer, PLAN, switch, HF_LLAMA)).code == "no-such-switch"
