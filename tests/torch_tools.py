"""Helpers shared by the tests of the torch machine. Importing this module makes torch deterministic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shapeflow.ir.events import Event, StepDone
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Plan, Spec
from shapeflow.optimizers.adamw import Adamw as Settings
from shapeflow.running.execute import execute
from shapeflow_torch.data import Data, open_data, windows
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.optimizers import Member, State, optimizer_of
from shapeflow_torch.optimizers.adamw import Adamw

CPU = torch.device("cpu")

torch.set_num_threads(1)
torch.set_deterministic_debug_mode("error")  # without the import of torch's compiler, which takes 2 s
# Evaluating held-out text dominates the time of short runs, and no test depends on its size.
HELD_OUT_TARGETS, windows.TARGETS = windows.TARGETS, 4_096


def machine(plan: Plan, dtype: torch.dtype = torch.float32, taken: bool = True) -> TorchMachine:
    """A machine for the plan, set to the first stage and its reading unless `taken` is false."""
    made = TorchMachine(plan, _data(plan), dtype=dtype)
    if taken:
        made.take(plan.stages[0])
        made.look(plan.stages[0].reading)
    return made


_OPENED: dict[str, Data] = {}


def _data(plan: Plan) -> Data:
    """The plan's data, opened once per process and shared by all tests."""
    contexts = [c.shape["context"] if "context" in c.shape else plan.slots.get("context") for c in plan.candidates]
    key = f"{plan.data} {contexts}"
    if key not in _OPENED:
        _OPENED[key] = open_data(plan, Path("."), CPU)
    return _OPENED[key]


def inputs(made: TorchMachine) -> Tensor:
    """A few samples in the shape that the machine currently reads."""
    context = made.context
    samples = 256 // context if context else 16
    batch = made.data.batch(0, 0, 0, samples, made.size, slice(0, samples))[0]
    return batch if context else batch.to(next(made.body.net.parameters()).dtype)


def outputs(made: TorchMachine) -> Tensor:
    """The logits for `inputs`, without gradients."""
    with torch.no_grad():
        logits: Tensor = made.body.net(inputs(made))
    return logits


def averaged(made: TorchMachine) -> Tensor:
    """The logits for `inputs`, computed with the averaged weights."""
    with made.body.averaged():
        return outputs(made)


def parameters(made: TorchMachine) -> dict[str, nn.Parameter]:
    return dict(made.body.net.named_parameters())


def shake(made: TorchMachine, steps: int = 4) -> TorchMachine:
    """Perturb norms and biases, then train some steps, so that no parameter keeps its initial value."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.body.net.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.3)
    for step in range(steps):
        made.step(made.plan.stages[0], step, 0.0)
    return made


def disturb(made: TorchMachine) -> TorchMachine:
    """Perturb all weights and averages without training: a step feeds float32 images, which float64 models reject."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in parameters(made).items():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.1)
            made.body.averages[name].add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return made


def gradients(made: TorchMachine) -> None:
    """Replace the gradients by those of a function that depends on every logit."""
    made.body.optimizer.zero_grad()
    logits = made.body.net(inputs(made))
    weights = torch.cos(torch.arange(logits.numel(), dtype=logits.dtype)).view(logits.shape)
    (torch.log_softmax(logits, -1) * weights).sum().backward()


def switch(made: TorchMachine) -> None:
    """Switch the machine from the first stage to the second."""
    stage = made.plan.stages[1]
    assert stage.transition is not None
    made.apply(stage.transition, stage)
    made.look(stage.reading)


def relative(a: Tensor, b: Tensor) -> float:
    """The norm of the difference relative to the norm of `b`."""
    return float((a - b).detach().norm() / b.detach().norm())


def losses(events: list[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, StepDone)]


def followed(plan: Plan, folder: Path | None = None, resume: Path | None = None) -> tuple[TorchMachine, list[Event]]:
    """Execute a plan; return the machine and the events."""
    made = machine(plan, taken=False)
    return made, list(execute(plan, made, folder, resume))


OTHER = Parameter("other", ("one",), "bias", "one")
"""The declaration of a tensor without weight decay that does not depend on the width."""


def members(parameters: Mapping[str, nn.Parameter], declared: Parameter = OTHER) -> dict[str, Member]:
    """The optimizer members of some tensors, all with the same declaration."""
    return {name: Member(value, declared, tuple(value.shape)) for name, value in parameters.items()}


def empty_state(like: Tensor) -> State:
    """The AdamW state of a tensor before its first update."""
    return optimizer_of(Spec("adamw")).initial_state(OTHER, like)


def adamw(
    parameters: Mapping[str, nn.Parameter],
    settings: Mapping[str, Any],
    states: dict[str, State],
    decays: bool = False,
    varied: bool = False,
) -> torch.optim.Optimizer:
    """The torch machine's AdamW for some tensors."""
    declared = Parameter("matrix", ("one",), "matrix", "one") if decays else OTHER
    return Adamw(Settings(**settings), varied=varied).build_with_state(members(parameters, declared), states)
