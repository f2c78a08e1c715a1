"""Enters the shape of a step that stores the same tensors and reads them at other sizes."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from torch import nn

from shapeflow.base.diagnostics import Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import unfit
from shapeflow.ir.edits import Edit
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan
from shapeflow.ir.replay import ledger_at
from shapeflow.ir.steps import Step
from shapeflow_torch.adopt.fitting import verify
from shapeflow_torch.adopt.views import Rules, current, enter, rules_of
from shapeflow_torch.surgery import move

_LOOKED = "_shapeflow_looked"


@attrs.frozen
class _Looked:
    """What a module was last made to read; an attribute of the module, so that most steps need no work."""

    plan: str
    stage: int
    reading: tuple[Edit, ...]


def look(model: nn.Module, plan: Plan, step: Step, adapter: Adapter, *, blended: bool = True) -> None:
    """Read the tensors of a module as a step does, from now on: a timm ViT then has the patch size of the step.

    Parameters, their order and names, and the state of the optimizer stay what they are; gradients flow to the stored
    tensors. Call it before each step of a plan with blended stages, after `grow`; before the first step of a plan
    whose first stage reads through a view; otherwise `grow` does it. `blended` False: as the stage of the step does,
    which is how a plan measures.

    Raises Refused `wrapped-module` or `unfit-model`, before anything is changed, unless the module has the sizes of the
    step's stage."""
    stage = plan.stages[step.stage]
    _enter(model, plan, step.stage, adapter, step.reading if blended else tuple(stage.reading))


def settle(model: nn.Module, plan: Plan, stage: int, adapter: Adapter) -> None:
    """Read the tensors of a module as a stage does. Raises what `look` raises."""
    _enter(model, plan, stage, adapter, tuple(plan.stages[stage].reading))


def _enter(model: nn.Module, plan: Plan, stage: int, adapter: Adapter, reading: tuple[Edit, ...]) -> None:
    wanted, last = _Looked(plan.digest, stage, reading), vars(model).get(_LOOKED)
    if wanted == last:
        return
    ledger = _read_by(ledger_at(plan, 0, stage), reading)
    if last is None or (last.plan, last.stage) != (wanted.plan, wanted.stage):
        verify(model, adapter, ledger)
    enter(model, adapter, ledger)
    setattr(model, _LOOKED, wanted)


def forget(model: nn.Module) -> None:
    """Have the next `look` enter its reading, for a module that a switch changes."""
    vars(model).pop(_LOOKED, None)


def require_reading(model: nn.Module, plan: Plan, stage: int) -> None:
    """Raise Refused `unfit-model` unless a module is read as a step of a stage: else its loop did not call `look`."""
    ledger = ledger_at(plan, 0, stage)
    own = plan.stages[stage]
    allowed = [rules_of(_read_by(ledger, edits)) for edits in (own.reading, *(blend.edits for blend in own.blends))]
    if (found := current(model)) not in allowed:
        message = f"the module reads {_told(found)}, and stage {stage + 1} of the plan reads {_told(allowed[0])}"
        raise Refused(unfit(message, "call `look(model, plan, step, adapter)` before each step"))


def _read_by(ledger: Ledger, reading: Iterable[Edit]) -> Ledger:
    """Return a ledger under a reading, which changes no size."""
    views = {name: dict(rules) for name, rules in ledger.views.items()}
    after = attrs.evolve(ledger, views=views, slots=dict(ledger.slots))
    move(after, tuple(reading))
    return after


def _told(rules: Rules) -> str:
    found = [f"`{dim}` of `{name}` at {rule.to}" for name, own in rules.items() for dim, rule in own.items()]
    return ", ".join(found) if found else "its tensors as they are stored"
