"""Checks every switch of a plan before training, on a small replica of the model.

It uses the same machine as training, in float64 on the CPU. Before each switch, all weights are perturbed at random,
including norms and biases, because an error on an entry that is still 0 or 1 could go unnoticed. The averaged weights
are perturbed independently.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import attrs
import torch
from torch import Tensor
from torch.nn import functional

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import Edit, EditError, Swap, is_reversible
from shapeflow.ir.plan import Blend, Plan, Stage, Transition
from shapeflow.running.replica import Divisors, divisors, replica
from shapeflow.running.verdicts import EXACT, Checked, Verdict
from shapeflow_torch.buildable import unbuilt
from shapeflow_torch.check_inputs import DataInputs, RandomInputs
from shapeflow_torch.data import Data, open_data
from shapeflow_torch.data.random import WEIGHTS, generator
from shapeflow_torch.entries import Mask, new_entries
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.reach import Reach, gradients, reach

POSITIONS = 256
"""Tokens in the batch on which functions are compared. The batch has at least one sequence."""
IMAGES = 4
"""Images in the batch on which functions are compared."""
SMALL = 1_000_000
"""Models with fewer entries run on one thread, because several threads would mostly wait for each other."""
UNREACHED = 1e-13
"""Gradients below this fraction of the largest one count as rounding errors. Example: the bias of a key, which does
not affect softmax."""

_WHOLE = "make `reading` set, for every shape, each view and slot that it sets for any shape"


def check(plan: Plan, root: Path | None = None) -> Checked:
    """Make every switch of a plan on a small replica, or on the full model if no replica can be built.

    `root`: base directory of relative data paths. If it is given, the plan's own data is read; default: random tokens
    or images.
    Raises Refused: `no-model`, `no-such-model`, `no-such-data`, `no-such-objective`, `no-such-optimizer`,
    `no-such-view`, `data-missing`, `context-too-long`, `loss-not-finite`, `not-arrived`, `wrong-parameters`, and
    for an objective that cannot work at a context: `context-too-short`, `too-few-sentinels`.
    """
    data = None if root is None else open_data(plan, root, torch.device("cpu"))
    by, notes = divisors(plan), []
    walk = _Walk(replica(plan, by), data)
    # A plugin's model may constrain its dims in ways that the replica does not know.
    if by != Divisors() and (why := walk.unbuilt()):
        notes.append(f"its replica cannot be built: {why}")
        by = Divisors()
        walk = _Walk(replica(plan, by), data)
    try:
        found = walk.walked()
    except EditError as error:
        # A plugin's objective may need longer contexts than the replica has.
        if by.length == 1:
            raise Refused(_impossible(error)) from error
        notes.append(f"shorter contexts do not work: {error.message}")
        found = _whole(plan, attrs.evolve(by, length=1), data)
    reduced = found.entries < _entries(plan)
    return attrs.evolve(found, reduced=reduced, notes=tuple(notes))


def _whole(plan: Plan, by: Divisors, data: Data | None) -> Checked:
    """Check the plan at its full contexts. Raises Refused."""
    try:
        return _Walk(replica(plan, by), data).walked()
    except EditError as error:
        raise Refused(_impossible(error)) from error


def _impossible(error: EditError) -> Diagnostic:
    return Diagnostic(error.code, error.message, place="plan", notes=error.notes, help=error.help)


def _entries(plan: Plan) -> int:
    """Return the number of entries of all parameters in the largest stage."""

    def of(stage: Stage) -> int:
        tables = ((*p.listed, *p.logical) for p in plan.parameters)
        return sum(math.prod(stage.sizes[dim] for dim in dims) for dims in tables)

    return max(of(stage) for stage in plan.stages)


@attrs.frozen(eq=False)
class _Function:
    """Outputs of a model on fixed inputs."""

    logits: Tensor
    averaged: Tensor
    """Logits under the averaged weights."""
    loss: float

    def change(self, other: _Function) -> tuple[float, float]:
        """Return the relative change from another function, in the logits and in the averaged logits."""
        return _change(self.logits, other.logits), _change(self.averaged, other.averaged)

    def is_same(self, other: _Function) -> bool:
        return torch.equal(self.logits, other.logits) and torch.equal(self.averaged, other.averaged)


def _change(after: Tensor, before: Tensor) -> float:
    """Return the largest absolute change divided by the largest absolute value, over shared positions. The
    result is infinite if shapes differ or values are not finite."""
    if before.dim() == 3:
        shared = min(before.shape[1], after.shape[1])
        before, after = before[:, :shared], after[:, :shared]
    if before.shape != after.shape:
        return math.inf
    found = float((after - before).abs().max() / before.abs().max())
    return found if math.isfinite(found) else math.inf


class _Walk:
    """Runs a machine through all switches of a plan and checks each."""

    def __init__(self, plan: Plan, data: Data | None) -> None:
        longest = _largest(plan, "context")
        self.plan, self._samples = plan, max(1, POSITIONS // longest) if longest else IMAGES
        largest = longest or _largest(plan, "resolution")
        self._inputs = RandomInputs(largest) if data is None else DataInputs(data, largest)
        self._numbers = generator(plan.seed, WEIGHTS, 0)
        self._machine = TorchMachine(plan, cast(Data, self._inputs), dtype=torch.float64)

    def unbuilt(self) -> str | None:
        """Return why the plan's modules cannot be built, or None if they can. Raises Refused."""
        return unbuilt(self.plan, self._inputs, self._samples)

    def walked(self) -> Checked:
        """Check all stages. Raises Refused, and EditError if an objective cannot work at a context."""
        made, blends = [], 0
        faults: list[Diagnostic] = []
        with _threads(_entries(self.plan)):
            self._machine.take(self.plan.stages[0])
            self._inputs.ledger = self._machine.ledger
            for index, stage in enumerate(self.plan.stages):
                if stage.transition is not None:
                    made.append(self._switch(index, stage, stage.transition))
                self._disturb()
                faults += self._blends(index, stage)
                blends += len(_apart(stage))
        return Checked(tuple(made), blends, _entries(self.plan), reduced=False, faults=tuple(faults))

    def _switch(self, index: int, stage: Stage, transition: Transition) -> Verdict:
        machine, last = self._machine, self.plan.stages[index - 1]
        machine.look(last.reading)
        machine.step(last, last.first_step, last.cost)
        self._disturb()
        before, ledger = self._function(), copy.deepcopy(machine.ledger)
        machine.apply(transition, stage)
        machine.look(stage.reading)
        after = self._function()
        logits, averaged = after.change(before)
        faults = [*_unkept(transition, logits, averaged), *self._state(transition)]
        if all(map(is_reversible, transition.edits)):
            faults += self._back(last, stage, transition, before)
        reach = self._reach(stage, new_entries(ledger, transition.edits))
        faults += [_dead(transition, name) for name in reach.dead]
        return Verdict(
            stage=index + 1,
            transitions=transition.names,
            before=last.shape,
            after=stage.shape,
            says=transition.preserves,
            logits=logits,
            averaged=averaged,
            losses=(before.loss, after.loss),
            new=reach.new,
            reached=reach.share,
            faults=tuple(attrs.evolve(fault, place=f"stage {index + 1}, {stage.shape}") for fault in faults),
        )

    def _blends(self, index: int, stage: Stage) -> Iterator[Diagnostic]:
        """Switch to every blend of a stage and back, and report blends that change the stage's function."""
        self._machine.look(stage.reading)
        own = self._function()
        for blend in _apart(stage):
            self._machine.look(blend.edits)
            there = self._function()
            self._machine.look(stage.reading)
            if not (bool(there.logits.isfinite().all()) and own.is_same(self._function())):
                message = f"after steps in {blend.shape} the model no longer gives the values of {stage.shape}"
                yield Diagnostic("not-preserving", message, place=f"stage {index + 1}, {stage.shape}", help=_WHOLE)

    def _function(self) -> _Function:
        """Return the model's current outputs on the inputs."""
        machine = self._machine
        inputs, targets = self._inputs.batch(self.plan.seed, 0, 0, self._samples, machine.size, slice(None))
        with torch.no_grad():
            logits = machine.body.net(inputs)
            with machine.body.averaged():
                averaged = machine.body.net(inputs)
        return _Function(logits, averaged, float(_loss(logits, targets)))

    def _reach(self, stage: Stage, masks: Mapping[str, Sequence[Mask]]) -> Reach:
        """Make two steps and return which new entries received a gradient."""
        machine = self._machine
        with gradients(machine.body.net) as largest:
            for step in range(stage.first_step, stage.first_step + 2):
                machine.step(stage, step, stage.cost)
        members = {name: [largest[member] for member in machine.ledger.members(name)] for name in masks}
        least = UNREACHED * max(float(found.max()) for found in largest.values())
        return reach(masks, members, least)

    @torch.no_grad()
    def _disturb(self) -> None:
        """Perturb every weight at random, and its average independently."""
        body = self._machine.body
        for name, value in body.net.named_parameters():
            size = 0.3 if value.dim() == 1 else 0.3 / math.sqrt(value.shape[-1])
            for tensor in (value, body.averages[name]):
                tensor.add_(torch.from_numpy(self._numbers.standard_normal(tuple(value.shape))), alpha=size)

    def _state(self, transition: Transition) -> Iterator[Diagnostic]:
        """Report averages and optimizer state whose names or sizes do not match the parameters."""
        kept, want = self._machine.body.kept(), self._machine.ledger.tensors()
        have = {"weights": _sizes(kept.values), "averaged weights": _sizes(kept.averages)}
        states: Collection[str] = () if transition.moments == "reset" else self._stated()
        if kept.states.keys() != set(states):
            yield _lost("optimizer's state", kept.states.keys() ^ set(states))
        for part in {part for state in kept.states.values() for part in state}:
            # A count may be a single number, so 0-dim tensors are not checked.
            numbers = {name: s[part] for name, s in kept.states.items() if part in s and s[part].dim()}
            have[f"optimizer's `{part}`"] = {name: want.get(name, ()) for name in want} | _sizes(numbers)
        for what, sizes in have.items():
            wrong = {name for name in sizes.keys() | want.keys() if sizes.get(name) != want.get(name)}
            if wrong:
                yield _lost(what, wrong)
        if transition.average == "restart":
            apart = {name for name, value in kept.values.items() if not torch.equal(value, kept.averages[name])}
            if apart:
                yield _lost("restarted average", apart)

    def _stated(self) -> set[str]:
        """Return the names of tensors for which the optimizer keeps state."""
        ledger, settings = self._machine.ledger, self._machine.body.rules.settings
        return {member for name, p in ledger.table.items() if settings.state(p) for member in ledger.members(name)}

    def _back(self, last: Stage, stage: Stage, transition: Transition, before: _Function) -> Iterator[Diagnostic]:
        """Report a reversible transition that cannot be undone. Views and slots are absolute, so the previous reading
        must restore the previous function."""
        machine = self._machine
        machine.look(last.reading)
        now = self._function()
        same = torch.equal(now.logits, before.logits)
        if transition.average == "map":
            same = now.is_same(before)
        if not same:
            message = f"{_named(transition)} cannot be undone: {last.shape} gives other values afterwards"
            yield Diagnostic("not-preserving", message, help=_WHOLE)
        machine.look(stage.reading)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of numbers, or the cross-entropy of classes and tokens."""
    if targets.is_floating_point():
        return functional.mse_loss(logits[:, 0], targets.to(logits.dtype))
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _unkept(transition: Transition, logits: float, averaged: float) -> Iterator[Diagnostic]:
    """Report values that a transition claims to preserve but changes."""
    if transition.preserves == "lossy":
        return
    kept = "all logits" if transition.preserves == "exact" else "the logits at shared positions"
    changes = [("they change", logits)]
    if transition.average == "map":
        changes.append(("those of the averaged weights change", averaged))
    for what, change in changes:
        if change > EXACT:
            message = f"{_named(transition)} claims to keep {kept}, but {what} by {change:.3g} of the largest"
            note = f"a transition that keeps the function changes it by less than {EXACT:g} in float64"
            help_ = "correct the edits of the transition, or declare it `lossy`"
            yield Diagnostic("not-preserving", message, notes=(note,), help=help_)


def _dead(transition: Transition, name: str) -> Diagnostic:
    message = f"no gradient reaches the new entries of `{name}`, made by {_named(transition)}, within two steps"
    return Diagnostic("dead-entries", message, help="initialize one side of each product with nonzero values")


def _lost(what: str, names: Iterable[str]) -> Diagnostic:
    message = f"after the switch the {what} does not match the parameters"
    return Diagnostic("wrong-state", message, notes=tuple(f"`{name}`" for name in sorted(names)[:8]))


def _named(transition: Transition) -> str:
    return " and ".join(f"`{name}`" for name in transition.names)


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _readings(stage: Stage) -> Iterator[Edit]:
    yield from stage.reading
    yield from () if stage.transition is None else stage.transition.edits
    for blend in stage.blends:
        yield from blend.edits


def _largest(plan: Plan, slot: str) -> int:
    """Return the largest integer that a slot holds in any stage, or 0 if it never holds one."""
    swaps = (edit for stage in plan.stages for edit in _readings(stage) if isinstance(edit, Swap))
    held = (plan.slots.get(slot), *(swap.to for swap in swaps if swap.slot == slot))
    return max((value for value in held if isinstance(value, int)), default=0)


def _apart(stage: Stage) -> list[Blend]:
    """Return the blends of a stage with distinct readings. A rising share is stored as several blends with the same
    reading."""
    return list({blend.edits: blend for blend in stage.blends}.values())


@contextlib.contextmanager
def _threads(entries: int) -> Iterator[None]:
    """Use one thread in this context if the model is small."""
    own = torch.get_num_threads()
    torch.set_num_threads(1 if entries < SMALL else own)
    try:
        yield
    finally:
        torch.set_num_threads(own)
