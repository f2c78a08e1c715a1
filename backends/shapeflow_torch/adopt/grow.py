"""Carries out a switch of a plan on a user's module and its optimizer, in place.

The edits are made by `surgery.operate` under the plan's names, as those of the torch machine are, so a grown module can
be compared with the machine's tensor by tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import Cell, cells, unfit
from shapeflow.ir.edits import Scale, is_reversible
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import Growth
from shapeflow.ir.plan import Plan, Transition
from shapeflow.ir.replay import ledger_at
from shapeflow_torch.adopt.cells import joined, parameters_of, sizes_of, split
from shapeflow_torch.adopt.families import families_of, forget_state, require_alike, reset, unowned
from shapeflow_torch.adopt.filling import put
from shapeflow_torch.adopt.fitting import require_rotation, verify
from shapeflow_torch.adopt.look import forget, require_reading, settle
from shapeflow_torch.adopt.states import Followed, Owner, owners_of, rules_of, state_of, with_ages
from shapeflow_torch.adopt.views import enter
from shapeflow_torch.optimizers import State
from shapeflow_torch.surgery import Kept, operate, rehearsed

Optimizers = TorchOptimizer | Sequence[TorchOptimizer] | None


@attrs.frozen
class Grown:
    """What a switch has changed. `ledger`: sizes and slots after it; `renewed`: names of the parameters that are new
    objects, also those of new blocks, so that lists of parameters which a loop keeps must be made again."""

    ledger: Ledger
    renewed: tuple[str, ...]


def grow(
    model: nn.Module,
    optimizer: Optimizers,
    plan: Plan,
    switch: int,
    adapter: Adapter,
    *,
    average: nn.Module | None = None,
) -> Grown:
    """Carry out a switch of a plan on a module, in place.

    `optimizer`: one, several that share the module's tensors, or None; `switch`: its number, as `Step.switch` gives it;
    `average`: a module that holds averaged weights. New entries of torch's `AdamW` get ages of their own, as in the
    torch machine: the optimizer becomes an `AgedAdamW`. In other optimizers their state is zero.

    A parameter whose size changes is replaced by a new one, in the module and in the groups, which keep the module's
    order, so that `optimizer.load_state_dict` of a resumed run puts each state in its place. A switch that only changes
    how tensors are read, such as one of the patch size, leaves parameters and their state as they are; the module reads
    them through the views of the next stage from then on.

    Raises Refused, before anything is changed: `no-such-switch`, `unfit-plan`, `wrapped-module`, `unfit-model`,
    `unfit-optimizer`, and what edits that cannot be applied raise."""
    transition = _transition(plan, switch)
    ledger = ledger_at(plan, 0, switch)
    owned = _listed(optimizer)
    require_rotation(plan)
    for each in [model] if average is None else [model, average]:
        _require_stage(each, adapter, plan, switch)
        forget(each)
    require_reading(model, plan, switch)
    after = rehearsed(ledger, transition.edits)
    cells(adapter, after)
    if reads_only(transition):
        _reread(model, adapter, after, transition, owned, average)
        return Grown(after, ())
    if sizes_of(after)["depth"] != sizes_of(ledger)["depth"]:
        require_alike(model, adapter, ledger)
    families = families_of(model, adapter, ledger, owned)
    apart = unowned(model, owned)
    kept = _taken(model, adapter, ledger, families, average)
    _warn_of_eps(adapter, ledger, after, transition)
    operate(kept, ledger, transition, plan.apart, plan.seed, switch, _followed(adapter, ledger, families, kept))
    old = {id(weight) for weight in model.parameters()}
    renewed = put(model, adapter, ledger, kept.values)
    if average is not None:
        put(average, adapter, ledger, kept.averages)
    if owned:
        _rebind(model, adapter, ledger, families, kept.states, renewed, apart)
        _in_order(model, owned)
    return Grown(ledger, tuple(name for name, weight in parameters_of(model).items() if id(weight) not in old))


def reads_only(transition: Transition) -> bool:
    """Whether a switch changes no tensor, and only how tensors are read and what a step is."""
    return all(is_reversible(edit) for edit in transition.edits)


@torch.no_grad()
def _reread(
    model: nn.Module,
    adapter: Adapter,
    after: Ledger,
    transition: Transition,
    owned: Iterable[TorchOptimizer],
    average: nn.Module | None,
) -> None:
    """Carry out a switch that changes no tensor: parameters and their state stay what they are, in any optimizer.

    Raises Refused `unfit-optimizer`, before anything is changed, for an unknown optimizer whose state is reset."""
    if transition.moments == "reset":
        reset(model, owned)
    if average is not None and transition.average == "restart":
        averaged = parameters_of(average)
        for name, weight in parameters_of(model).items():
            averaged[name].copy_(weight)
    for module in [model] if average is None else [model, average]:
        enter(module, adapter, after)


def become(model: nn.Module, plan: Plan, done: int, adapter: Adapter, optimizer: Optimizers = None) -> Ledger:
    """Give a module of the plan's first stage the sizes that a run has after `done` steps, before its checkpoint is
    loaded, and read it through the views of that stage. Its weights mean nothing until then.

    `optimizer`: one that was made for the module; it gets the parameters of the new sizes, and can then load its state.
    Raises Refused as `grow` does."""
    owned = _listed(optimizer)
    settle(model, plan, 0, adapter)
    for switch in range(plan.stage_at(done)):
        grow(model, optimizer, plan, switch, adapter)
        if reads_only(_transition(plan, switch)):
            continue
        for owner in owners_of(owned).values():
            if owner.aged:
                with_ages(owner.optimizer)
    return ledger_at(plan, done)


def _listed(optimizer: Optimizers) -> list[TorchOptimizer]:
    if optimizer is None:
        return []
    return [optimizer] if isinstance(optimizer, TorchOptimizer) else list(optimizer)


def _transition(plan: Plan, switch: int) -> Transition:
    count = len(plan.stages) - 1
    found = plan.stages[switch + 1].transition if type(switch) is int and 0 <= switch < count else None
    if found is None:
        message = f"the plan has no switch {switch!r}"
        help_ = f"use a number from 0 to {count - 1}" if count else "the plan has one stage"
        raise Refused(Diagnostic("no-such-switch", message, place="grow", help=help_))
    return found


def _require_stage(model: nn.Module, adapter: Adapter, plan: Plan, switch: int) -> None:
    """Raise Refused as `verify` does, unless a module has the sizes of the stage before a switch."""
    try:
        verify(model, adapter, ledger_at(plan, 0, switch))
    except Refused:
        for stage in range(len(plan.stages)):
            try:
                verify(model, adapter, ledger_at(plan, 0, stage))
            except Refused:
                continue
            message = f"switch {switch} begins in stage {switch + 1}, and the module has the sizes of stage {stage + 1}"
            help_ = "carry out each switch once, and in order: `if step.switch is not None`, since the first is 0"
            raise Refused(unfit(message, help_)) from None
        raise


def _followed(adapter: Adapter, ledger: Ledger, families: Mapping[str, Owner], kept: Kept) -> Followed:
    """How the states that were copied follow the edits."""
    rules: dict[str, Mapping[str, Growth]] = {}
    for cell in cells(adapter, ledger):
        for name, tensor in zip(cell.layout.ours, cell.ours, strict=True):
            if tensor in kept.states:
                known = rules_of(families[cell.layout.theirs].optimizer)
                rules[name] = {part: known[part] for part in kept.states[tensor]}
    return Followed(rules, all(owner.aged for owner in families.values() if "step" in rules_of(owner.optimizer)))


def _taken(
    model: nn.Module, adapter: Adapter, ledger: Ledger, families: Mapping[str, Owner], average: nn.Module | None
) -> Kept:
    """Copy what outlives a switch, under the plan's names."""
    ours, theirs = ledger.tensors(), parameters_of(model)
    averaged = {} if average is None else parameters_of(average)
    kept = Kept({}, {}, {})
    for cell in cells(adapter, ledger):
        weight = theirs[cell.theirs]
        kept.values.update(_copied(cell, weight, ours))
        if average is not None:
            kept.averages.update(_copied(cell, averaged[cell.theirs], ours))
        owner = families.get(cell.layout.theirs)
        for part, tensor in ({} if owner is None else state_of(owner, weight)).items():
            parts = split(cell, tensor, ours) if tensor.dim() == weight.dim() and tensor.dim() else None
            for name in cell.ours:
                kept.states.setdefault(name, {})[part] = (tensor if parts is None else parts[name]).clone()
    return kept


def _copied(cell: Cell, weight: Tensor, ours: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: part.clone() for name, part in split(cell, weight.detach(), ours).items()}


def _rebind(
    model: nn.Module,
    adapter: Adapter,
    ledger: Ledger,
    families: Mapping[str, Owner],
    states: Mapping[str, State],
    renewed: Mapping[str, nn.Parameter],
    apart: frozenset[str],
) -> None:
    """Give the optimizers the parameters that are new, and the state of all. `apart`: names that they do not have."""
    theirs = parameters_of(model)
    for cell in cells(adapter, ledger):
        owner, weight = families.get(cell.layout.theirs), theirs[cell.theirs]
        if owner is None or cell.theirs in apart:
            continue
        old = renewed.get(cell.theirs, weight)
        members, own = owner.group["params"], owner.optimizer
        members[:] = [each for each in members if each is not old and each is not weight] + [weight]
        for each in (old, weight):
            forget_state(own, each)
        if all(states.get(name) for name in cell.ours):
            _load(owner, weight, _whole(cell, [states[name] for name in cell.ours], weight))


def _whole(cell: Cell, parts: Sequence[State], weight: nn.Parameter) -> State:
    """Join the states of the plan's tensors in one of the module."""
    found = {}
    for part in parts[0]:
        own = [state[part] for state in parts]
        if all(not tensor.dim() for tensor in own) and len({float(tensor) for tensor in own}) == 1:
            found[part] = own[0].clone()
            continue
        sizes = [next(t.shape for t in state.values() if t.dim()) for state in parts]
        spread = [tensor.expand(size) for tensor, size in zip(own, sizes, strict=True)]
        found[part] = joined(cell, spread, weight.dim())
    return found


def _load(owner: Owner, weight: nn.Parameter, state: State) -> None:
    if "step" in state and state["step"].dim():
        with_ages(owner.optimizer).adopt(weight, state)
    else:
        owner.optimizer.state[weight] = dict(state)


def _in_order(model: nn.Module, optimizers: Iterable[TorchOptimizer]) -> None:
    """Sort each group into the module's order, in which an optimizer that is made again has them: torch loads a state
    by position."""
    order = {id(weight): at for at, weight in enumerate(model.parameters())}
    for own in optimizers:
        for group in own.param_groups:
            group["params"].sort(key=lambda weight: order.get(id(weight), len(order)))


def _warn_of_eps(adapter: Adapter, before: Ledger, after: Ledger, transition: Transition) -> None:
    scaled = any(isinstance(edit, Scale) and edit.slot == "norm.eps" for edit in transition.edits)
    if adapter.eps is None and scaled:
        message = (
            f"the norms of `{adapter.name}` keep their eps of {before.slots['norm.eps']}, and the switch asks for"
            f" {after.slots['norm.eps']}: the function is not kept exactly"
        )
        warnings.warn(message, stacklevel=3)
