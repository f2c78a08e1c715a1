"""The edits of a switch, made on tensors by name; no transition is known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from shapeflow.edits import Edit, Grow, Map
from shapeflow.ledger import Ledger
from shapeflow.plan import Transition
from shapeflow_torch.bundles import Bundle, Sheet, deepen, mean_square, rewrite, widen
from shapeflow_torch.optimizer import State, empty_state

AGES_MATTER = 0.95
"""Up to this second-moment decay, entries that start with empty moments at an old age are updated at most 1.1 times
too far; above it they need an age of their own."""


@attrs.frozen(eq=False)
class Kept:
    """What outlives a switch: weights, averaged weights and the optimizer's state, by tensor name."""

    values: Mapping[str, Tensor]
    averages: Mapping[str, Tensor]
    states: Mapping[str, State]
    """Empty for a parameter that was never updated."""


@torch.no_grad()
def operate(
    kept: Kept, ledger: Ledger, transition: Transition, apart: Sequence[str], seed: int, switch: int, beta2: float
) -> Kept:
    """Make all edits of a transition, moving `ledger` along; parameters that no edit names are passed on as they are.

    `apart`: dims along which slices have a mean square of their own; `switch`: number of the switch in the plan.
    """
    surgery = _Surgery(kept, ledger, apart, seed, switch)
    for edit in transition.edits:
        surgery.make(edit)
    values, averages, states = dict(surgery.values), dict(surgery.averages), dict(surgery.states)
    for name, family in surgery.open.items():
        for member, bundle in zip(ledger.members(name), family, strict=True):
            whole = bundle.shaped(ledger.stored(name))
            values[member], averages[member] = whole.value, whole.average
            states[member] = _state(whole, transition.moments, beta2)
    if transition.moments == "reset":
        states = {}
    if transition.average == "restart":
        averages = {name: value.clone() for name, value in values.items()}
    return Kept(values, averages, states)


class _Surgery:
    """The edits under way: families that were edited lie open, as bundles; the others are left alone."""

    def __init__(self, kept: Kept, ledger: Ledger, apart: Sequence[str], seed: int, switch: int) -> None:
        self.values, self.averages, self.states = dict(kept.values), dict(kept.averages), dict(kept.states)
        self.open: dict[str, list[Bundle]] = {}
        self._ledger, self._apart, self._seed, self._switch = ledger, tuple(apart), seed, switch

    def make(self, edit: Edit) -> None:
        if isinstance(edit, Grow):
            self.open[edit.parameter] = self._grow(edit, self._opened(edit.parameter))
        elif isinstance(edit, Map):
            dims = self._ledger.table[edit.parameter].logical
            family = self._opened(edit.parameter)
            self.open[edit.parameter] = [rewrite(bundle, dims, edit.dim, edit.rule) for bundle in family]
        self._ledger.apply(edit)

    def _opened(self, name: str) -> list[Bundle]:
        if name in self.open:
            return self.open[name]
        sizes = [self._ledger.sizes[name][dim] for dim in self._ledger.table[name].logical]
        family = []
        for member in self._ledger.members(name):
            value = self.values.pop(member)
            state = self.states.pop(member, None) or empty_state(value)
            bundle = Bundle(
                value,
                self.averages.pop(member),
                state["exp_avg"],
                state["exp_avg_sq"],
                state["step"].to(value.device).expand(value.shape),
                torch.zeros(value.shape, dtype=torch.bool, device=value.device),
            )
            family.append(bundle.shaped(sizes))
        return family

    def _grow(self, edit: Grow, family: list[Bundle]) -> list[Bundle]:
        parameter = self._ledger.table[edit.parameter]
        # The mean square is that of the tensor before the edit: new entries must not enter their own measure.
        squares = [mean_square(bundle.value, parameter.logical, self._apart) for bundle in family]
        family = [bundle.scaled(edit.scale, 1 / edit.scale) for bundle in family]
        for along in edit.along:
            sheet = self._sheets(edit.parameter)
            if along.dim in parameter.listed:
                family = deepen(family, along, squares, [sheet(entry) for entry in range(along.to)])
                squares = [torch.stack(squares).mean(0)] * along.to
            else:
                family = [
                    widen(bundle, parameter.logical, along, square, sheet(entry))
                    for entry, (bundle, square) in enumerate(zip(family, squares, strict=True))
                ]
        return family

    def _sheets(self, name: str) -> Callable[[int], Sheet]:
        return lambda entry: Sheet(self._seed, self._switch, name.replace("{depth}", str(entry)))


def _state(bundle: Bundle, moments: str, beta2: float) -> State:
    """The optimizer's state of an edited tensor under a policy for its new entries."""
    second, age = bundle.second, bundle.age
    if moments == "carry" and bundle.new.any() and not bundle.new.all():
        second = torch.where(bundle.new, second[~bundle.new].mean(), second)
    own_age = moments == "fresh" and beta2 > AGES_MATTER
    alike = bool((age == age.max()).all())
    step = age.contiguous() if own_age and not alike else age.max()
    return {"step": step.clone(), "exp_avg": bundle.first.contiguous(), "exp_avg_sq": second.contiguous()}
