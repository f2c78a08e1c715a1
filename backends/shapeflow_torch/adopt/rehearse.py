"""Carries out the switches of a plan on a copy of a module, to see whether they keep what it computes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.ir.plan import Plan, Transition
from shapeflow_torch.adopt.grow import grow
from shapeflow_torch.adopt.look import settle

SHAKE = 0.1
"""Noise on every entry, relative to the mean square of its tensor, or to 1 in a tensor of zeros: a module that was just
made computes the same with many mistakes, since its biases and last layers are zero."""
CLOSE, ROUGH = 1e-5, 2e-2
"""Largest relative change of what a switch keeps; the second, if the eps of the norms cannot follow."""


@attrs.frozen
class Effect:
    """What a switch does to what the module computes. `changed`: relative change, root mean square; `exact`: whether
    the plan's transitions keep it."""

    switch: int
    names: tuple[str, ...]
    exact: bool
    changed: float


def rehearse(
    model: nn.Module, plan: Plan, adapter: Adapter, outputs: Callable[[nn.Module], Tensor], seed: int = 0
) -> tuple[Effect, ...]:
    """Carry out all switches of a plan on a copy of a module, and compare what it computes before and after each.

    `model`: in the sizes of the first stage; it does not change. `outputs`: calls a module with the same inputs each
    time, such as `lambda net: net(tokens)`, and returns its logits. The copy is in float64, as are tensors of floats
    that it is called with. It is in `eval` mode, and its parameters are disturbed by noise of `seed`, so that zeros of
    a new module hide nothing.

    A mistake in a table, such as one name for two dims of the same size, changes the function. Raises Refused
    `not-preserving` for a switch that should keep it and does not, or after which the module fails, and what `grow`
    raises; TypeError if `outputs` does not return a tensor."""
    net = copy.deepcopy(model).double().eval()
    net.register_forward_pre_hook(_doubled, with_kwargs=True)
    _shake(net, seed)
    settle(net, plan, 0, adapter)
    close, found = CLOSE if adapter.eps is not None else ROUGH, []
    for switch in range(len(plan.stages) - 1):
        transition = plan.stages[switch + 1].transition
        assert transition is not None
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", UserWarning)
            before = _logits(outputs, net).clone()
            grow(net, None, plan, switch, adapter)
            after = _after(outputs, net, switch, transition)
        changed = float((after - before).pow(2).mean().sqrt() / before.pow(2).mean().sqrt().clamp_min(1e-300))
        exact = transition.preserves != "lossy"
        if exact and not changed <= close:
            message = f"{_named(switch, transition)} changes what the module computes by {changed:.2g} of its size"
            help_ = (
                "compare the names of dims, `writes`, `role` and `norm` in the table, and `attributes`, with the module"
            )
            raise Refused(Diagnostic("not-preserving", message, place="rehearse", help=help_))
        found.append(Effect(switch, transition.names, exact, changed))
    return tuple(found)


def _logits(outputs: Callable[[nn.Module], Tensor], net: nn.Module) -> Tensor:
    found: object = outputs(net)
    if not isinstance(found, Tensor):
        raise TypeError(f"`outputs` returned a `{type(found).__name__}`: return the tensor of logits in it")
    return found


def _after(outputs: Callable[[nn.Module], Tensor], net: nn.Module, switch: int, transition: Transition) -> Tensor:
    try:
        return _logits(outputs, net)
    except Exception as error:
        # Before the switch, the same call did not fail.
        message = f"{_named(switch, transition)} leaves a module that fails: {type(error).__name__}: {error}"
        help_ = (
            "name in `attributes` of the adapter what `forward()` reads of sizes, compute buffers there, and give the "
            "module inputs of the size that it has"
        )
        raise Refused(Diagnostic("not-preserving", message, place="rehearse", help=help_)) from error


def _named(switch: int, transition: Transition) -> str:
    return f"switch {switch} ({' + '.join(f'`{name}`' for name in transition.names)})"


def _doubled(net: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, with tensors of floats in float64, such as images."""

    def double(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return tuple(double(each) for each in inputs), {name: double(each) for name, each in named.items()}


@torch.no_grad()
def _shake(net: nn.Module, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for weight in net.parameters():
        size = weight.pow(2).mean().sqrt().item() or 1.0
        weight.add_(SHAKE * size * torch.randn(weight.shape, generator=draw, dtype=weight.dtype).to(weight.device))
