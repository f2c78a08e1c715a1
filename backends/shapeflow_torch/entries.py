"""Computes which entries of the parameters a switch creates, from its edits alone and without surgery on tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shapeflow.ir.edits import Along, Edit, Grow, Ints, gather
from shapeflow.ir.ledger import Ledger

Mask = npt.NDArray[np.bool_]


def new_entries(before: Ledger, edits: Iterable[Edit]) -> dict[str, list[Mask]]:
    """Return parameter -> one mask per tensor, True at new entries, in the stored sizes after the edits.

    Parameters that do not grow are left out. If an entry is copied, its first copy counts as old and the others as new.
    """
    ledger, found = copy.deepcopy(before), dict[str, list[Mask]]()
    for edit in edits:
        if isinstance(edit, Grow):
            found[edit.parameter] = _grown(ledger, edit, found.get(edit.parameter))
        ledger.apply(edit)
    return {name: [mask.reshape(ledger.stored(name)) for mask in family] for name, family in found.items()}


def _grown(ledger: Ledger, edit: Grow, family: list[Mask] | None) -> list[Mask]:
    parameter = ledger.table[edit.parameter]
    if family is None:
        sizes = [ledger.sizes[edit.parameter][dim] for dim in parameter.logical]
        family = [np.zeros(sizes, np.bool_) for _ in ledger.members(edit.parameter)]
    for along in edit.along:
        if along.dim in parameter.listed:
            source, made = _made(along, len(family))
            family = [family[max(old, 0)] | new for old, new in zip(source, made, strict=True)]
            continue
        for axis in (axis for axis, dim in enumerate(parameter.logical) if dim == along.dim):
            source, made = _made(along, family[0].shape[axis])
            column = made.reshape([-1 if each == axis else 1 for each in range(family[0].ndim)])
            family = [mask.take(np.maximum(source, 0), axis) | column for mask in family]
    return family


def _made(along: Along, old: int) -> tuple[Ints, Mask]:
    """Return the source of each entry of a dim (-1: no source), and whether the entry is new."""
    source = gather(along, old).source
    made = np.ones(len(source), np.bool_)
    made[np.unique(source, return_index=True)[1]] = False
    return source, made | (source < 0)
