"""What the callbacks of all trainers share: what they check before the first step, and what a switch asks of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import attrs
from torch import nn
from torch.optim import Optimizer

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import cells
from shapeflow.ir.edits import Swap, View
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.ir.replay import ledger_at
from shapeflow.ir.steps import Step
from shapeflow_torch.adopt.cells import sizes_of
from shapeflow_torch.adopt.families import families_of, require_alike, reset
from shapeflow_torch.adopt.fitting import require_rotation, verify
from shapeflow_torch.adopt.grow import become, grow, reads_only
from shapeflow_torch.adopt.look import look
from shapeflow_torch.adopt.states import owners_of, rules_of, with_ages

Rates = Literal["plan", "shape"]


@attrs.frozen
class Library:
    """The versions of a package that the callbacks work with: from `low` to before `below`."""

    package: str
    extra: str
    """The extra of shapeflow that installs it."""
    low: tuple[int, int]
    below: tuple[int, int]
    tested: tuple[int, int]

    @property
    def accepted(self) -> str:
        """The range as package metadata states it: `>=5.0,<6`."""
        below = ".".join(str(part) for part in self.below).removesuffix(".0")
        return f">={self.low[0]}.{self.low[1]},<{below}"


TRANSFORMERS = Library("transformers", "hf", (5, 0), (6, 0), (5, 23))
ACCELERATE = Library("accelerate", "hf", (1, 1), (2, 0), (1, 15))
LIGHTNING = Library("lightning", "lightning", (2, 5), (2, 7), (2, 6))
LIBRARIES = (TRANSFORMERS, ACCELERATE, LIGHTNING)
"""`pyproject.toml` and docs/trainers.md state the same versions."""


def require_version(library: Library) -> None:
    """Raise Refused `missing-extra` or `unsupported-version` unless an accepted version is installed."""
    package = library.package
    try:
        found = version(package)
    except PackageNotFoundError as error:
        message, help_ = f"`{package}` is not installed", f"`pip install 'shapeflow[{library.extra}]'`"
        raise Refused(Diagnostic("missing-extra", message, place=package, help=help_)) from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if not library.low <= numbers < library.below:
        message = f"`{package}` {found} is not supported; {library.tested[0]}.{library.tested[1]} is tested"
        help_ = f"`pip install '{package}{library.accepted}'`"
        raise Refused(Diagnostic("unsupported-version", message, place=package, help=help_))


def unfit_trainer(message: str, help_: str) -> Refused:
    return Refused(Diagnostic("unfit-trainer", message, place="trainer", help=help_))


def require_names(trainer: Any, names: tuple[str, ...], package: str) -> None:
    """Raise Refused `unsupported-version` unless a trainer has the names that its callback relies on."""
    if missing := [name for name in names if not hasattr(trainer, name)]:
        message = f"the trainer has no `{missing[0]}`, which this version of `{package}` was expected to have"
        help_ = f"install a version of `{package}` that is tested, or use a loop of your own (`shapeflow.follow`)"
        raise Refused(Diagnostic("unsupported-version", message, place="trainer", help=help_))


def require_rates(rates: str) -> None:
    """Raise Refused `unfit-trainer` for a name that is not one of `Rates`."""
    if rates not in ("plan", "shape"):
        help_ = "use `plan` for the whole rate of the plan, or `shape` for its factors on the trainer's own schedule"
        raise unfit_trainer(f"`rates` is {rates!r}", help_)


def require_carried_out(plan: Plan, adapter: Adapter | None) -> None:
    """Raise Refused, before the first step, for what a plan asks and a trainer's callback cannot do: `unfit-plan`, and
    `unfit-model` for switches that the adapter cannot carry out."""
    stages = plan.stages
    require_rotation(plan)
    if any(stage.matrix_rate != 1 for stage in stages):
        help_ = "remove `lr: mup` from `width_expand`, or use `shapeflow run`"
        raise _unfit_plan("the plan has a learning rate of its own for matrices, and the trainer has one", help_)
    if any(stage.memory != 1 for stage in stages):
        help_ = "use `beta2: keep` in `batch_resize`, or `shapeflow run`"
        raise _unfit_plan("the plan changes `beta2` of the optimizer with the batch, and the trainer does not", help_)
    for slot in ("loss", "resolution"):
        readings = [edits for s in stages for edits in (s.reading, *(blend.edits for blend in s.blends))]
        values = {edit.to for edits in readings for edit in edits if isinstance(edit, Swap) and edit.slot == slot}
        if len(values) > 1:
            help_ = "use a loop of your own (`shapeflow.follow`), or `shapeflow run`"
            raise _unfit_plan(f"the plan changes `{slot}`, and the trainer keeps its own", help_)
    for at, stage in enumerate(stages):
        if not (grows(stage.transition) or views(stage)):
            continue
        if adapter is None:
            what = "changes the sizes of the model" if grows(stage.transition) else "reads the model through a view"
            help_ = "give the adapter of the model, such as `HF_LLAMA` or `TIMM_VIT`"
            raise Refused(Diagnostic("unfit-model", f"stage {at + 1} of the plan {what}", place="adapter", help=help_))
        cells(adapter, ledger_at(plan, 0, at))


def grows(transition: Transition | None) -> bool:
    """Whether a switch changes tensors of the module, and not only how they are read."""
    return transition is not None and not reads_only(transition)


def views(stage: Stage) -> bool:
    """Whether steps of a stage read tensors through views."""
    return any(isinstance(edit, View) for edit in stage.reading)


def require_model(model: nn.Module, plan: Plan, done: int, adapter: Adapter | None) -> None:
    """Raise Refused `unfit-model`, `wrapped-module` unless a module has the sizes after `done` steps. Without an
    adapter, the module is not looked at."""
    if adapter is not None:
        ledger: Ledger = ledger_at(plan, done)
        verify(model, adapter, ledger)


def require_optimizer(model: nn.Module, optimizer: Optimizer, plan: Plan, done: int, adapter: Adapter | None) -> None:
    """Raise Refused `unfit-optimizer` or `unfit-model`, as a later switch would, for an optimizer or for frozen blocks
    that cannot follow it."""
    at = plan.stage_at(done)
    later = [stage.transition for stage in plan.stages[at + 1 :] if stage.transition is not None]
    if any(each.moments == "reset" for each in later):
        rules_of(optimizer)
    if adapter is None or not any(grows(each) for each in later):
        return
    families_of(model, adapter, ledger_at(plan, done), [optimizer])
    depths = [sizes_of(ledger_at(plan, 0, stage))["depth"] for stage in range(at, len(plan.stages))]
    if depths[-1] != depths[0]:
        require_alike(model, adapter, ledger_at(plan, done))


def carry_out(model: nn.Module, optimizer: Optimizer, plan: Plan, step: Step, adapter: Adapter | None) -> None:
    """Carry out the switch before a step, if there is one, and read the module as the step does."""
    viewed, transition = adapter is not None and views(plan.stages[step.stage]), step.transition
    if adapter is not None and step.switch is not None and (viewed or grows(transition)):
        grow(model, optimizer, plan, step.switch, adapter)
    elif transition is not None and transition.moments == "reset":
        reset(model, [optimizer])
    if adapter is not None and viewed:
        look(model, plan, step, adapter)


def rest(model: nn.Module, plan: Plan, step: Step, adapter: Adapter | None) -> None:
    """Read the module as the stage of a step does, in whose shape a plan measures."""
    if adapter is not None and views(plan.stages[step.stage]):
        look(model, plan, step, adapter, blended=False)


def resize(model: nn.Module, plan: Plan, done: int, adapter: Adapter | None, optimizer: Optimizer | None) -> None:
    """Give a module of the first stage the sizes and the views after `done` steps, before its checkpoint is loaded."""
    if adapter is not None:
        become(model, plan, done, adapter, optimizer)


def able_to_load(optimizer: Optimizer, plan: Plan, done: int) -> None:
    """Let an optimizer that was just made load ages, which a checkpoint after a switch may have."""
    if any(grows(stage.transition) for stage in plan.stages[: plan.stage_at(done) + 1]):
        for owner in owners_of([optimizer]).values():
            if owner.aged:
                with_ages(owner.optimizer)


def require_same_plan(kept: object, plan: Plan) -> None:
    """Raise Refused `foreign-checkpoint` unless a checkpoint has the digest of a plan."""
    digest = kept.get("plan") if isinstance(kept, Mapping) else None
    if digest == plan.digest:
        return
    known = digest is not None
    message = "the checkpoint belongs to another plan" if known else "the checkpoint was made without a plan"
    notes = (f"its plan: {digest}", f"this plan: {plan.digest}") if known else ()
    help_ = "resume from a checkpoint of this plan, or load the plan that it was made with"
    raise Refused(Diagnostic("foreign-checkpoint", message, place="checkpoint", notes=notes, help=help_))


class GroupRates:
    """Sets the learning rate of a step in all groups of an optimizer."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self._kept: list[tuple[dict[str, Any], Any]] = []
        self.rate = 0.0
        """The learning rate of the first group in the last update."""

    def set(self, optimizer: Any, step: Step) -> None:
        """Set the rate of a step: the plan's, or the plan's factors times what the groups have."""
        self._kept = [(group, group["lr"]) for group in optimizer.param_groups]
        factor = step.rates.shape * step.rates.rewarm
        for group, own in self._kept:
            group["lr"] = step.lr if self.rates == "plan" else own * factor
        self.rate = float(optimizer.param_groups[0]["lr"])

    def restore(self) -> None:
        """Give the groups back the rates of the trainer's schedule, which may compute the next from the last."""
        for group, own in self._kept:
            group["lr"] = own
        self._kept = []


def _unfit_plan(message: str, help_: str) -> Refused:
    return Refused(Diagnostic("unfit-plan", message, place="plan", help=help_))
