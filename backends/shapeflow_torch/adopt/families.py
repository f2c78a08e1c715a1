"""Which optimizer updates which tensors of a user's module, and whether that can follow a switch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import cells, unfit
from shapeflow.ir.ledger import Ledger
from shapeflow_torch.adopt.cells import parameters_of
from shapeflow_torch.adopt.states import Owner, owners_of, rules_of
from shapeflow_torch.optimizers.aged import AgedAdamW


def families_of(
    model: nn.Module, adapter: Adapter, ledger: Ledger, optimizers: Sequence[TorchOptimizer]
) -> dict[str, Owner]:
    """Layout -> the group that updates its tensors. Raises Refused `unfit-optimizer` if no optimizer has a trained
    tensor, or if blocks of one layout are in different groups, as with a rate for each layer: it is not known which
    group new blocks belong to."""
    owners = owners_of(optimizers)
    theirs, found = parameters_of(model), dict[str, Owner]()
    for cell in cells(adapter, ledger):
        owner = owners.get(id(theirs[cell.theirs]))
        if owner is None:
            if optimizers and theirs[cell.theirs].requires_grad:
                message = f"no optimizer has `{cell.theirs}` of the module, which has a gradient"
                help_ = "make the optimizer for the parameters of this module; freeze those that are not trained"
                raise Refused(Diagnostic("unfit-optimizer", message, place="optimizer", help=help_))
            continue
        rules_of(owner.optimizer)
        first = found.setdefault(cell.layout.theirs, owner)
        if first.group is not owner.group:
            message = f"`{cell.theirs}` is in another group of the optimizer than the same tensor of other blocks"
            help_ = "put the same tensors of all blocks into one group: new blocks must belong to one"
            raise Refused(Diagnostic("unfit-optimizer", message, place="optimizer", help=help_))
    return found


def require_alike(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Raise Refused `unfit-model` if a tensor is trained in some blocks only: new blocks are copies of one."""
    theirs, first = parameters_of(model), dict[str, str]()
    for cell in cells(adapter, ledger):
        one = first.setdefault(cell.layout.theirs, cell.theirs)
        if theirs[one].requires_grad != theirs[cell.theirs].requires_grad:
            trained, frozen = (one, cell.theirs) if theirs[one].requires_grad else (cell.theirs, one)
            message = f"`{trained}` is trained and `{frozen}` is frozen, so it is not known whether new blocks are"
            raise Refused(unfit(message, "train or freeze a tensor in all blocks, while a plan changes their number"))


def unowned(model: nn.Module, optimizers: Iterable[TorchOptimizer]) -> frozenset[str]:
    """The names of the parameters that no optimizer has."""
    owners = owners_of(optimizers)
    return frozenset(name for name, weight in parameters_of(model).items() if id(weight) not in owners)


def reset(model: nn.Module, optimizers: Iterable[TorchOptimizer]) -> None:
    """Empty the state of a module's parameters. Raises Refused `unfit-optimizer`, before anything is changed, for a
    class that is not known."""
    forgetful = list(optimizers)
    for own in forgetful:
        rules_of(own)
    for weight in model.parameters():
        for own in forgetful:
            forget_state(own, weight)


def forget_state(optimizer: TorchOptimizer, weight: nn.Parameter) -> None:
    """Empty the state of a parameter, also its ages."""
    optimizer.state.pop(weight, None)
    if isinstance(optimizer, AgedAdamW):
        optimizer.release(weight)
