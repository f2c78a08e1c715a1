"""The edits of a plan's switches on a module of one's own, with its optimizer."""

from __future__ import annotations

import copy

import torch
from torch import nn

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
