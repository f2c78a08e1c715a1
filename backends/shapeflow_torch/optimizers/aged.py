"""torch's AdamW, extended by an age per entry for parameters that have grown."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

from shapeflow_torch.optimizers.eager import EagerAdamW
from shapeflow_torch.optimizers.parts import State

Index = tuple[slice, ...]


NEGLIGIBLE = 1e-3
"""An entry's own age is dropped once beta ** age is below this for both betas. From then on, its updates are at most
0.05% too large (1 / sqrt(1 - 1e-3), second moment) or 0.1% too small (first moment), and the error shrinks with every
step."""
HARMLESS = 1.1
"""Ages are not needed if updates without them are at most this many times too large."""


class AgedAdamW(EagerAdamW):
    """AdamW (Loshchilov and Hutter 2019) whose bias correction uses the age of every entry.

    torch keeps one step count per parameter. Entries that are added late have empty moments but the old count, so they
    get no bias correction: with betas (.9, .999), their first updates are 3 to 6.6 times too large.

    torch's fused kernel makes the updates. Parameters without ages are updated as usual. Grown parameters are updated
    in stretches of rows, each with the age of its oldest entries. For entries younger than others in their rows, a
    second computation replaces this update by one at their own age, until the difference is `NEGLIGIBLE`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.track()

    def track(self) -> None:
        """Begin without ages. For an optimizer whose class was `torch.optim.AdamW` until now."""
        self._grown: dict[Tensor, _Grown] = {}
        self._ages: dict[Tensor, int] = {}
        """Number of updates of each parameter without ages, if memory varies. Kept on the host: no device sync."""
        self.memory: Memory | None = None
        """Set before each step if the weight of steps in the second moment varies over the run; otherwise None."""

    def adopt(self, parameter: Tensor, state: State) -> None:
        """Set the state of a parameter from a state whose `step` is an age per entry."""
        own = _Grown(parameter, {**state, "step": state["step"].max()}, state["step"].max() - state["step"])
        self.state[parameter], self._grown[parameter] = own.state, own

    def release(self, parameter: Tensor) -> None:
        """Forget the ages of a parameter whose state is set again."""
        self._grown.pop(parameter, None)
        self._ages.pop(parameter, None)

    def state_of(self, parameter: Tensor) -> State:
        """Return the state of a parameter. `step` is an age per entry if ages differ."""
        state, grown = self.state[parameter], self._grown.get(parameter)
        return dict(state) if grown is None else {**state, "step": state["step"] - grown.late}

    def state_dict(self) -> dict[str, Any]:
        """Return the state. `step` of a parameter is an age per entry if ages differ, so that no checkpoint loses them.
        The memory is not part of it: it is set before each step."""
        found = super().state_dict()
        own = (parameter for group in self.param_groups for parameter in group["params"])
        places = (place for group in found["param_groups"] for place in group["params"])
        for parameter, place in zip(own, places, strict=True):
            if parameter in self._grown:
                found["state"][place] = self.state_of(parameter)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes."""
        found = super().__getstate__()
        own = ((p, self.state_of(p) if p in self._grown else state) for p, state in self.state.items())
        return {**found, "state": defaultdict(dict, own)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, as `load_state_dict` and copies do. Raises ValueError for ages of other sizes."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._grown, self._ages, self.memory = {}, {}, vars(self).get("memory")
        for parameter, own in list(self.state.items()):
            if "step" in own and own["step"].dim():
                if own["step"].shape != parameter.shape:
                    sizes = f"{tuple(own['step'].shape)}, not {tuple(parameter.shape)}"
                    raise ValueError(f"the ages of a parameter have the sizes {sizes}")
                self.adopt(parameter, own)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one update of every parameter that has a gradient. `closure`: computes the loss and the gradients, as
        some trainers do within the update. Returns its loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
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
        return loss

    def _plain(self, group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the parameters of a group that have no ages, grouped by bias correction."""
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
    """Decay of a second moment by samples instead of steps.

    `beta2`: decay per step at the data's own batch size; `worth`: number of such steps that the last N steps of the run
    count as."""

    beta2: float
    worth: Callable[[int], float]

    def left(self, age: int) -> float:
        """Return the remaining weight of the initial second moment after `age` steps."""
        return float(self.beta2 ** self.worth(age))


def _left(beta2: float, age: int, memory: Memory | None) -> float:
    return beta2**age if memory is None else memory.left(age)


def _corrected(group: Mapping[str, Any], age: int, memory: Memory | None) -> dict[str, float]:
    """Return the options with which torch makes an update with the exact bias correction.

    torch divides v by 1 - beta2 ** age, with the beta2 of the current step. If earlier steps had another beta2, the
    exact divisor is c times this. Then lr m / (sqrt(v / c) + eps) = (lr sqrt(c)) m / (sqrt(v) + eps sqrt(c)), and the
    decay lr * weight_decay must stay the same."""
    lr, eps, decay, beta2 = group["lr"], group["eps"], group["weight_decay"], group["betas"][1]
    ratio = 1.0 if memory is None else math.sqrt((1 - memory.left(age)) / (1 - beta2**age))
    return {"lr": lr * ratio, "eps": eps * ratio, "weight_decay": decay / ratio}


@attrs.frozen(eq=False)
class _Rows:
    """A stretch of rows of a tensor. An entry has missed the updates that the tensor's oldest entries got before it
    existed.

    `step`: number of updates of the stretch's oldest entries; `younger`: boxes of younger entries, each with the number
    of updates it has missed."""

    rows: slice
    step: Tensor
    missed: int
    """Number of updates that the stretch's oldest entries have missed."""
    younger: tuple[tuple[Index, int], ...]


class _Grown:
    """A parameter whose entries differ in age. `late`: number of updates that each entry has missed."""

    def __init__(self, parameter: Tensor, state: State, late: Tensor) -> None:
        self.parameter, self.state = parameter, state
        self.age = int(state["step"])
        self._split(late)

    def gradient(self) -> Tensor:
        assert self.parameter.grad is not None
        return self.parameter.grad.contiguous()

    def forget(self, betas: tuple[float, float], memory: Memory | None) -> None:
        """Treat entries as old as the oldest once the weight of their initial moments is `NEGLIGIBLE`."""
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
    """Return the stretches of consecutive equal rows."""
    changes = values.diff(dim=0).flatten(1).any(1) if values.dim() > 1 else values.diff() != 0
    bounds = [0, *(changes.nonzero().flatten() + 1).tolist(), len(values)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _boxes(values: Tensor) -> list[tuple[Index, int]]:
    """Split a tensor into boxes of constant value; returns each box with its value."""
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
    """Return the number of updates after which the initial value of both moments is `NEGLIGIBLE`."""
    beta = max(beta1, beta2)
    return math.ceil(math.log(NEGLIGIBLE) / math.log(beta)) if beta else 1


def ages_matter(beta1: float, beta2: float) -> bool:
    """Return whether new entries with empty moments and the age of old entries get updates more than `HARMLESS` times
    too large. After t updates under a constant gradient, the factor is (1 - beta1 ** t) / sqrt(1 - beta2 ** t)."""
    age = np.arange(1, lasting(beta1, beta2) + 1)
    return bool(((1 - beta1**age) / np.sqrt(1 - beta2**age)).max() > HARMLESS)
