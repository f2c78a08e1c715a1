"""Applies the edits of a switch to tensors by name. This module does not depend on any specific transition."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import Edit, EditError, Grow, Map, Scale, Swap
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Transition
from shapeflow_torch.bundles import Bundle, Sheet, deepen, mean_square, rewrite, widen
from shapeflow_torch.optimizers import Optimizer, State


@attrs.frozen(eq=False)
class Kept:
    """The tensors that a switch keeps: weights, averaged weights and optimizer state, by tensor name."""

    values: dict[str, Tensor]
    averages: dict[str, Tensor]
    states: dict[str, State]
    """A tensor that was never updated has no entry."""


def move(ledger: Ledger, edits: Sequence[Edit]) -> None:
    """Apply edits to a ledger, which holds sizes only. Raises Refused for an edit that cannot be applied."""
    try:
        for edit in edits:
            ledger.apply(edit)
    except EditError as error:
        notes = tuple(note for note in (error.why, *error.notes) if note)
        raise Refused(Diagnostic(error.code, error.message, place="plan", notes=notes, help=error.help)) from error


def rehearsed(ledger: Ledger, edits: Sequence[Edit]) -> Ledger:
    """Return a copy of a ledger with edits applied. Raises what `move` raises."""
    after = copy.deepcopy(ledger)
    move(after, edits)
    return after


@torch.no_grad()
def operate(
    kept: Kept,
    ledger: Ledger,
    transition: Transition,
    apart: Sequence[str],
    seed: int,
    switch: int,
    optimizer: Optimizer[Any],
    memory: float = 1.0,
) -> None:
    """Apply all edits of a transition to `kept` and `ledger`. Parameters that no edit names do not change.

    Tensors are taken out of `kept`, edited and put back one at a time, or one family of blocks at a time if the depth
    grows. The peak memory is thus the larger of the sizes before and after, plus one family.

    A failure between two tensors, such as running out of memory, leaves a mix of old and new tensors in `kept`. The run
    must then resume from its last checkpoint. Call `rehearsed` first to detect edits that cannot be applied.

    `apart`: dims whose slices each have their own mean square; `switch`: number of the switch in the plan;
    `optimizer`: the optimizer that owns the state; `memory`: see `Optimizer.needs_ages`.
    """
    if transition.moments == "reset":
        kept.states.clear()
    if transition.average == "restart":
        kept.averages.clear()
    own_ages = transition.moments == "fresh" and optimizer.needs_ages(memory)
    surgery = _Surgery(kept, ledger, transition, tuple(apart), (seed, switch), optimizer, own_ages)
    # Edits of one parameter keep their order. Edits of different parameters are independent.
    edits: dict[str | None, list[Edit]] = {}
    for edit in transition.edits:
        edits.setdefault(None if isinstance(edit, Swap | Scale) else edit.parameter, []).append(edit)
    for name, own in edits.items():
        if name is None:
            for edit in own:
                ledger.apply(edit)
        else:
            surgery.make(name, own)
    if transition.average == "restart":
        kept.averages.update({name: value.clone() for name, value in kept.values.items()})


@attrs.frozen(eq=False)
class _Surgery:
    kept: Kept
    ledger: Ledger
    transition: Transition
    apart: tuple[str, ...]
    noise: tuple[int, int]
    """The run's seed and the number of the switch."""
    optimizer: Optimizer[Any]
    own_ages: bool

    def make(self, name: str, edits: Sequence[Edit]) -> None:
        """Apply all edits of one parameter."""
        parameter, old = self.ledger.table[name], self.ledger.members(name)
        sizes = [self.ledger.sizes[name][dim] for dim in parameter.logical]
        for edit in edits:
            self.ledger.apply(edit)
        lasting = [edit for edit in edits if isinstance(edit, Grow | Map)]
        grown = (along.dim for edit in lasting if isinstance(edit, Grow) for along in edit.along)
        members, stored = self.ledger.members(name), self.ledger.stored(name)
        if not parameter.listed or set(grown).isdisjoint(parameter.listed):
            for member in members if lasting else ():
                self._family([member], [member], parameter, lasting, sizes, stored)
        else:
            self._family(old, members, parameter, lasting, sizes, stored)

    def _family(
        self,
        old: Sequence[str],
        new: Sequence[str],
        parameter: Parameter,
        edits: Sequence[Grow | Map],
        sizes: Sequence[int],
        stored: Sequence[int],
    ) -> None:
        """Edit tensors together. `old`, `new`: their names before and after; `sizes`: logical sizes before; `stored`:
        stored sizes after."""
        family = [self._opened(parameter, member).shaped(sizes) for member in old]
        for edit in edits:
            if isinstance(edit, Grow):
                self._grow(edit, parameter, family, [Sheet(*self.noise, member) for member in new])
            else:
                for at in range(len(family)):
                    family[at] = rewrite(family[at], parameter.logical, edit.dim, edit.rule, self.noise[0])
        for member in new:
            self._close(member, family.pop(0).shaped(stored))

    def _opened(self, parameter: Parameter, member: str) -> Bundle:
        value = self.kept.values.pop(member)
        state = self.kept.states.pop(member, None) or self.optimizer.initial_state(parameter, value)
        return Bundle(
            value,
            self.kept.averages.pop(member, value),
            # A count may be a single number on another device.
            {part: tensor.to(value.device).expand(value.shape) for part, tensor in state.items()},
            self.optimizer.settings.state(parameter),
            torch.zeros((), dtype=torch.bool, device=value.device).expand(value.shape),
        )

    def _close(self, member: str, bundle: Bundle) -> None:
        self.kept.values[member] = bundle.value.contiguous()
        if self.transition.average == "map":
            self.kept.averages[member] = bundle.average.contiguous()
        if self.transition.moments != "reset":
            self.kept.states[member] = _state(bundle, self.transition.moments, self.own_ages)

    def _grow(self, edit: Grow, parameter: Parameter, family: list[Bundle], sheets: Sequence[Sheet]) -> None:
        """Grow a family in place, so that each old tensor is freed as soon as it is replaced."""
        # Use the mean square before the edit, because new entries must not affect their own scale.
        squares = [mean_square(bundle.value, parameter.logical, self.apart) for bundle in family]
        for at in range(len(family)):
            family[at] = family[at].scaled(edit.scale, 1 / edit.scale)
        for along in edit.along:
            if along.dim in parameter.listed:
                family[:] = deepen(family, along, squares, sheets)
                squares = [torch.stack(squares).mean(0)] * along.to
                continue
            for at in range(len(family)):
                family[at] = widen(family[at], parameter.logical, along, squares[at], sheets[at])


def _state(bundle: Bundle, moments: str, own_ages: bool) -> State:
    """Return the optimizer state of an edited tensor. `moments`: the policy for its new entries."""
    mixed = bool(bundle.new.any() and not bundle.new.all())
    state = {}
    for part, tensor in bundle.state.items():
        rule = bundle.rules[part]
        if rule == "count":
            alike = bool((tensor == tensor.max()).all())
            state[part] = (tensor.contiguous() if own_ages and not alike else tensor.max()).clone()
        elif rule == "squared" and moments == "carry" and mixed:
            state[part] = torch.where(bundle.new, tensor[~bundle.new].mean(), tensor).contiguous()
        else:
            state[part] = tensor.contiguous()
    return state
