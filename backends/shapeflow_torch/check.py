"""Looking at every switch of a plan, on a model small enough to do so before training.

The machine is the one that trains, in float64 and on the CPU. Before each switch all weights are moved at random, norms
and biases too, since an error on an entry that is still 0 or 1 shows nowhere; the averaged weights are moved apart.
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
"""Tokens of the batch that functions are compared on, at least one sequence."""
IMAGES = 4
"""Images of it."""
SMALL = 1_000_000
"""Entries of a model for which several threads would only wait for each other."""
UNREACHED = 1e-13
"""A gradient below this part of the largest one is rounding: that of a key's bias, which softmax does not see."""

_WHOLE = "make `reading` set, for every shape, each view and slot that it sets for any shape"


def check(plan: Plan, root: Path | None = None) -> Checked:
    """Make every switch of a plan on its replica, and on its own model where a replica cannot be built.

    `root`: where relative data paths start, if the plan's own data is to be read in place of random tokens or images.
    Raises Refused: `no-model`, `no-such-model`, `no-such-data`, `no-such-objective`, `no-such-optimizer`,
    `no-such-view`, `data-missing`, `context-too-long`, `loss-not-finite`, `not-arrived`, `wrong-parameters`, and
    what an objective says of a context in which nothing can be asked: `context-too-short`, `too-few-sentinels`.
    """
    data = None if root is None else open_data(plan, root, torch.device("cpu"))
    by, notes = divisors(plan), []
    walk = _Walk(replica(plan, by), data)
    # A plugin's model may tie other dims to its channels than the replica knows of.
    if by != Divisors() and (why := walk.unbuilt()):
        notes.append(f"its replica cannot be built: {why}")
        by = Divisors()
        walk = _Walk(replica(plan, by), data)
    try:
        found = walk.walked()
    except EditError as error:
        # A plugin's objective may ask for longer texts than a replica has.
        if by.length == 1:
            raise Refused(_impossible(error)) from error
        notes.append(f"shorter contexts do not work: {error.message}")
        found = _whole(plan, attrs.evolve(by, length=1), data)
    reduced = found.entries < _entries(plan)
    return attrs.evolve(found, reduced=reduced, notes=tuple(notes))


def _whole(plan: Plan, by: Divisors, data: Data | None) -> Checked:
    """The walk at the plan's own contexts. Raises Refused."""
    try:
        return _Walk(replica(plan, by), data).walked()
    except EditError as error:
        raise Refused(_impossible(error)) from error


def _impossible(error: EditError) -> Diagnostic:
    return Diagnostic(error.code, error.message, place="plan", notes=error.notes, help=error.help)


def _entries(plan: Plan) -> int:
    """Entries of all parameters in the largest of the stages."""

    def of(stage: Stage) -> int:
        tables = ((*p.listed, *p.logical) for p in plan.parameters)
        return sum(math.prod(stage.sizes[dim] for dim in dims) for dims in tables)

    return max(of(stage) for stage in plan.stages)


@attrs.frozen(eq=False)
class _Function:
    """What a model makes of the inputs."""

    logits: Tensor
    averaged: Tensor
    """Under the averaged weights."""
    loss: float

    def change(self, other: _Function) -> tuple[float, float]:
        """How far this is from another, in its own logits and in the averaged ones."""
        return _change(self.logits, other.logits), _change(self.averaged, other.averaged)

    def is_same(self, other: _Function) -> bool:
        return torch.equal(self.logits, other.logits) and torch.equal(self.averaged, other.averaged)


def _change(after: Tensor, before: Tensor) -> float:
    """Largest change over the largest value, at the positions that both have."""
    if before.dim() == 3:
        shared = min(before.shape[1], after.shape[1])
        before, after = before[:, :shared], after[:, :shared]
    if before.shape != after.shape:
        return math.inf
    found = float((after - before).abs().max() / before.abs().max())
    return found if math.isfinite(found) else math.inf


class _Walk:
    """A machine that is led through the switches of a plan."""

    def __init__(self, plan: Plan, data: Data | None) -> None:
        longest = _largest(plan, "context")
        self.plan, self._samples = plan, max(1, POSITIONS // longest) if longest else IMAGES
        largest = longest or _largest(plan, "resolution")
        self._inputs = RandomInputs(largest) if data is None else DataInputs(data, largest)
        self._numbers = generator(plan.seed, WEIGHTS, 0)
        self._machine = TorchMachine(plan, cast(Data, self._inputs), dtype=torch.float64)

    def unbuilt(self) -> str | None:
        """Why the plan's modules cannot be built; None where they can. Raises Refused."""
        return unbuilt(self.plan, self._inputs, self._samples)

    def walked(self) -> Checked:
        """Go through all stages. Raises Refused, and the EditError of an objective that a context does not suit."""
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
        """Enter every blend once and leave it."""
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
        """What the model makes of the inputs at present."""
        machine = self._machine
        inputs, targets = self._inputs.batch(self.plan.seed, 0, 0, self._samples, machine.size, slice(None))
        with torch.no_grad():
            logits = machine.body.net(inputs)
            with machine.body.averaged():
                averaged = machine.body.net(inputs)
        loss = functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
        return _Function(logits, averaged, float(loss))

    def _reach(self, stage: Stage, masks: Mapping[str, Sequence[Mask]]) -> Reach:
        """Make two steps, and see how far gradients came."""
        machine = self._machine
        with gradients(machine.body.net) as largest:
            for step in range(stage.first_step, stage.first_step + 2):
                machine.step(stage, step, stage.cost)
        members = {name: [largest[member] for member in machine.ledger.members(name)] for name in masks}
        least = UNREACHED * max(float(found.max()) for found in largest.values())
        return reach(masks, members, least)

    @torch.no_grad()
    def _disturb(self) -> None:
        """Move every weight, and its average apart from it."""
        body = self._machine.body
        for name, value in body.net.named_parameters():
            size = 0.3 if value.dim() == 1 else 0.3 / math.sqrt(value.shape[-1])
            for tensor in (value, body.averages[name]):
                tensor.add_(torch.from_numpy(self._numbers.standard_normal(tuple(value.shape))), alpha=size)

    def _state(self, transition: Transition) -> Iterator[Diagnostic]:
        """Whether what is kept of every tensor has the tensor's sizes."""
        kept, want = self._machine.body.kept(), self._machine.ledger.tensors()
        have = {"weights": _sizes(kept.values), "averaged weights": _sizes(kept.averages)}
        states: Collection[str] = () if transition.moments == "reset" else self._stated()
        if kept.states.keys() != set(states):
            yield _lost("optimizer's state", kept.states.keys() ^ set(states))
        for part in {part for state in kept.states.values() for part in state}:
            # A count may be one number.
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
        """The tensors that the optimizer keeps a state of."""
        ledger, settings = self._machine.ledger, self._machine.body.rules.settings
        return {member for name, p in ledger.table.items() if settings.state(p) for member in ledger.members(name)}

    def _back(self, last: Stage, stage: Stage, transition: Transition, before: _Function) -> Iterator[Diagnostic]:
        """Views and slots are absolute: read as before, the model is what it was."""
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


def _unkept(transition: Transition, logits: float, averaged: float) -> Iterator[Diagnostic]:
    """What a transition keeps by its own word and not by its deeds."""
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
    """The largest number that a slot ever holds; 0 where it holds none."""
    swaps = (edit for stage in plan.stages for edit in _readings(stage) if isinstance(edit, Swap))
    held = (plan.slots.get(slot), *(swap.to for swap in swaps if swap.slot == slot))
    return max((value for value in held if isinstance(value, int)), default=0)


def _apart(stage: Stage) -> list[Blend]:
    """The blends of a stage, one of each reading: a share that rises is many blends."""
    return list({blend.edits: blend for blend in stage.blends}.values())


@contextlib.contextmanager
def _threads(entries: int) -> Iterator[None]:
    """One thread meanwhile, where the model is small."""
    own = torch.get_num_threads()
    torch.set_num_threads(1 if entries < SMALL else own)
    try:
        yield
    finally:
        torch.set_num_threads(own)
