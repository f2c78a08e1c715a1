"""AdamW, stock where torch has it, with an age for every entry where a parameter has grown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

from shapeflow_torch.optimizers.parts import State

Index = tuple[slice, ...]


NEGLIGIBLE = 1e-3
"""An entry's own age is dropped once beta ** age is below this, by either beta: its moments are then those of any old
entry, but for a rest that makes its updates at most 0.05% too long (1 / sqrt(1 - 1e-3), second moment) or 0.1% too
short (first), and less with every further step."""
HARMLESS = 1.1
"""How many times too far an update may go for want of an age."""


class AgedAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019) whose bias correction knows the age of every entry.

    torch keeps one step count a parameter. Entries that grew late, with empty moments but the old count, would get no
    bias correction: at betas (.9, .999) their first updates are 3 to 6.6 times too large.

    All is torch's own, fused: parameters without ages as they are, grown ones by stretches of rows, each counted by its
    oldest entries. Only entries that are younger than others of their rows are updated once more, at their own age,
    until it is `NEGLIGIBLE`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._grown: dict[Tensor, _Grown] = {}
        self._ages: dict[Tensor, int] = {}
        """Updates of parameters without ages, where memory varies; known here, so that no device is asked."""
        self.memory: Memory | None = None
        """Set before each step where what a step counts as varies over a run."""

    def adopt(self, parameter: Tensor, state: State) -> None:
        """Take a state whose `step` is an age for each entry."""
        own = _Grown(parameter, {**state, "step": state["step"].max()}, state["step"].max() - state["step"])
        self.state[parameter], self._grown[parameter] = own.state, own

    def state_of(self, parameter: Tensor) -> State:
        """The state of a parameter, `step` being an age for each entry where these differ."""
        state, grown = self.state[parameter], self._grown.get(parameter)
        return dict(state) if grown is None else {**state, "step": state["step"] - grown.late}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        groups = self.param_groups
        self.param_groups = [part for group in groups for part in self._plain(group)]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            for one in [self._grown[p] for p in group["params"] if p in self._grown and p.grad is not None]:
                _update(one, group, self.memory)
                one.forget(group["betas"], self.memory)
                if not one.youngers:
                    del self._grown[one.parameter]

    def _plain(self, group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The parameters of a group that have no ages, in groups of one correction each."""
        own = [p for p in group["params"] if p not in self._grown]
        if self.memory is None:
            yield {**group, "params": own}
            return
        alike: dict[int, list[Tensor]] = {}
        for parameter in (p for p in own if p.grad is not None):
            if parameter not in self._ages:
                self._ages[parameter] = int(self.state[parameter].get("step", 0))
            self._ages[parameter] += 1
            alike.setdefault(self._ages[parameter], []).append(parameter)
        for age, members in alike.items():
            yield {**group, "params": members, **_corrected(group, age, self.memory)}


@attrs.frozen
class Memory:
    """A second moment that forgets by samples: each step counts as so many of the data's own batch, by which beta2
    is stated. `beta2`: as stated; `worth`: what the last so many steps count as."""

    beta2: float
    worth: Callable[[int], float]

    def left(self, age: int) -> float:
        """What is left of the start of a second moment."""
        return float(self.beta2 ** self.worth(age))


def _left(beta2: float, age: int, memory: Memory | None) -> float:
    return beta2**age if memory is None else memory.left(age)


def _corrected(group: Mapping[str, Any], age: int, memory: Memory | None) -> dict[str, float]:
    """What torch is to be told, so that it makes the update of a true correction. It divides by 1 - beta2 ** age with
    the beta2 of the step; where that was another one before, the right number is c times this. Then
    lr m / (sqrt(v / c) + eps) = (lr sqrt(c)) m / (sqrt(v) + eps sqrt(c)), and the decay lr * weight_decay stays."""
    lr, eps, decay, beta2 = group["lr"], group["eps"], group["weight_decay"], group["betas"][1]
    ratio = 1.0 if memory is None else math.sqrt((1 - memory.left(age)) / (1 - beta2**age))
    return {"lr": lr * ratio, "eps": eps * ratio, "weight_decay": decay / ratio}


@attrs.frozen(eq=False)
class _Rows:
    """A stretch of rows of a tensor. `younger`: boxes in it whose entries came later than its oldest ones, with the
    updates that they have missed of the tensor's oldest; `step`: updates that its own oldest have seen."""

    rows: slice
    step: Tensor
    missed: int
    """Updates that its oldest have missed of the tensor's oldest."""
    younger: tuple[tuple[Index, int], ...]


class _Grown:
    """A parameter whose entries are not all of one age. `late`: the updates that each entry has missed."""

    def __init__(self, parameter: Tensor, state: State, late: Tensor) -> None:
        self.parameter, self.state = parameter, state
        self.age = int(state["step"])
        self._split(late)

    def gradient(self) -> Tensor:
        assert self.parameter.grad is not None
        return self.parameter.grad.contiguous()

    def forget(self, betas: tuple[float, float], memory: Memory | None) -> None:
        """Entries whose start is `NEGLIGIBLE` count as old as the oldest."""
        if _forgotten(betas, self.age - self._next, memory):
            all_missed = torch.unique(self.late).tolist()
            gone = max(missed for missed in all_missed if _forgotten(betas, self.age - missed, memory))
            self._split(self.late.masked_fill(self.late <= gone, 0.0))

    def _split(self, late: Tensor) -> None:
        self.late, self.rows = late, list[_Rows]()
        missed = late[late > 0]
        self.youngers = bool(len(missed))
        self._next = int(missed.min()) if self.youngers else self.age
        for rows in _stretches(late):
            boxes = _boxes(late[rows.start])
            least = min(missed for _, missed in boxes)
            younger = tuple(((slice(None), *box), missed) for box, missed in boxes if missed > least)
            self.rows.append(_Rows(rows, self.state["step"] - least, least, younger))


def _forgotten(betas: tuple[float, float], age: int, memory: Memory | None) -> bool:
    return max(betas[0] ** age, _left(betas[1], age, memory)) < NEGLIGIBLE


def _stretches(values: Tensor) -> list[slice]:
    """Stretches of equal rows."""
    changes = values.diff(dim=0).flatten(1).any(1) if values.dim() > 1 else values.diff() != 0
    bounds = [0, *(changes.nonzero().flatten() + 1).tolist(), len(values)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _boxes(values: Tensor) -> list[tuple[Index, int]]:
    """Boxes of one value each, which together are the tensor."""
    if not values.dim() or bool((values == values.flatten()[0]).all()):
        return [((), int(values.flatten()[0]))]
    found = ((rows, _boxes(values[rows.start])) for rows in _stretches(values))
    return [((rows, *box), value) for rows, boxes in found for box, value in boxes]


def _update(grown: _Grown, group: Mapping[str, Any], memory: Memory | None) -> None:
    (beta1, beta2), lr, decay, eps = group["betas"], group["lr"], group["weight_decay"], group["eps"]
    grown.age += 1
    grown.state["step"].add_(1)
    whole = (grown.parameter.detach(), grown.gradient(), grown.state["exp_avg"], grown.state["exp_avg_sq"])
    stretches = [tuple(tensor[run.rows] for tensor in whole) for run in grown.rows]
    young = [
        (value[box], value[box].clone(), first[box], second[box], grown.age - missed)
        for run, (value, _, first, second) in zip(grown.rows, stretches, strict=True)
        for box, missed in run.younger
    ]
    alike: dict[int | None, list[tuple[Tensor, ...]]] = {}
    for run, stretch in zip(grown.rows, stretches, strict=True):
        alike.setdefault(None if memory is None else grown.age - run.missed, []).append((*stretch, run.step))
    for key, members in alike.items():
        values, gradients, firsts, seconds, steps = (list(each) for each in zip(*members, strict=True))
        options = {"beta1": beta1, "beta2": beta2, **_corrected(group, key or grown.age, memory)}
        adamw(values, gradients, firsts, seconds, [], steps, fused=True, amsgrad=False, maximize=False, **options)
    for value, before, first, second, age in young:
        root = math.sqrt(1 - _left(beta2, age, memory))
        before.mul_(1 - lr * decay)
        scale = second.sqrt().add_(eps * root)
        torch.addcdiv(before, first, scale, value=-lr * root / (1 - beta1**age), out=value)


def lasting(beta1: float, beta2: float) -> int:
    """Updates after which the start of both moments is `NEGLIGIBLE`."""
    beta = max(beta1, beta2)
    return math.ceil(math.log(NEGLIGIBLE) / math.log(beta)) if beta else 1


def ages_matter(beta1: float, beta2: float) -> bool:
    """Whether entries that start with empty moments at an old age are ever updated more than `HARMLESS` times too far:
    by (1 - beta1 ** t) / sqrt(1 - beta2 ** t) after t updates, under a constant gradient."""
    age = np.arange(1, lasting(beta1, beta2) + 1)
    return bool(((1 - beta1**age) / np.sqrt(1 - beta2**age)).max() > HARMLESS)
