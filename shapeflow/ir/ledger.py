"""The sizes, views and slots of a model, changed by the same edits as its tensors: a dry run without a device.

The compiler checks every switch with a ledger, the simulator runs a plan on one, and a backend compares its tensors
with one after every switch. A ledger needs only data of the plan, and no model code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import attrs

from shapeflow.ir.edits import Edit, EditError, Grow, Map, Resize, Scale, SlotValue, Swap, View, possible
from shapeflow.ir.parameters import Parameter


@attrs.define
class Ledger:
    """The stored sizes, views and slots of a model. An edit that would fail on a device raises EditError."""

    table: dict[str, Parameter]
    """Parameters by name."""
    sizes: dict[str, dict[str, int]]
    """Parameter -> dim -> stored size. Includes `depth`; fused dims are separate."""
    views: dict[str, dict[str, Resize]]
    """Parameter -> dim -> rule of its view, for dims that have a view."""
    slots: dict[str, SlotValue]

    @classmethod
    def of(
        cls,
        parameters: Iterable[Parameter],
        sizes: Mapping[str, int],
        slots: Mapping[str, SlotValue],
        reading: Iterable[Edit] = (),
    ) -> Ledger:
        """The ledger of a new model. `sizes`: stored size of every dim (`Model.sizes`); `reading`: the View and Swap
        edits of the first shape.

        Raises EditError `unknown-dim` if a parameter has a dim without a size, and the errors of `apply`.
        """
        table = {parameter.name: parameter for parameter in parameters}
        ledger = cls(table, {}, {name: {} for name in table}, dict(slots))
        for name, parameter in table.items():
            dims = (*parameter.listed, *parameter.logical)
            for dim in dims:
                if dim not in sizes:
                    raise EditError("unknown-dim", f"`{name}` has the dim `{dim}`, whose size is not declared")
            ledger.sizes[name] = {dim: sizes[dim] for dim in dims}
        for edit in reading:
            ledger.apply(edit)
        return ledger

    def apply(self, edit: Edit) -> None:
        """Apply an edit. Raises EditError `unknown-parameter`, `unknown-dim`, `grow-under-view` or `no-slot`, and the
        errors of `gather`."""
        match edit:
            case Swap(slot, to):
                self.slots[slot] = to
            case Scale(slot, by):
                value = self.slots.get(slot)
                if not isinstance(value, int | float):
                    raise EditError("no-slot", f"there is no number in the slot `{slot}` to multiply")
                self.slots[slot] = value * by
            case Grow():
                self._grow(edit)
            case View(name, dim, rule):
                self._size(name, dim)
                self.views[name][dim] = rule
            case Map(name, dim, rule):
                self._size(name, dim)
                self.views[name].pop(dim, None)
                self.sizes[name][dim] = rule.to

    def check(self, seen: Mapping[str, int]) -> None:
        """Check that every parameter, read through its views, has the sizes of a shape (`Model.seen`).

        Raises EditError `not-arrived` for the first parameter with a different size.
        """
        for name, sizes in self.sizes.items():
            for dim, stored in sizes.items():
                size = self.views[name][dim].to if dim in self.views[name] else stored
                if size != seen[dim]:
                    raise EditError("not-arrived", f"`{name}` has {size} of `{dim}`, the new shape needs {seen[dim]}")

    def members(self, name: str) -> list[str]:
        """Names of the tensors of a parameter: a single name, or one for each block."""
        if not self.table[name].listed:
            return [name]
        return [name.replace("{depth}", str(block)) for block in range(self.sizes[name]["depth"])]

    def stored(self, name: str) -> tuple[int, ...]:
        """Shape of each stored tensor of a parameter; the sizes of fused dims are multiplied."""
        sizes = self.sizes[name]
        return tuple(math.prod(sizes[dim] for dim in axis.split()) for axis in self.table[name].dims)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor. The `named_parameters()` of a module must have the same names and shapes."""
        return {member: self.stored(name) for name in self.table for member in self.members(name)}

    def _grow(self, edit: Grow) -> None:
        for along in edit.along:
            size = self._size(edit.parameter, along.dim)
            if along.dim in self.views[edit.parameter]:
                message = f"`{edit.parameter}` is read through a view along `{along.dim}` and cannot grow along it"
                raise EditError("grow-under-view", message)
            possible(along, size)
            self.sizes[edit.parameter][along.dim] = along.to

    def _size(self, name: str, dim: str) -> int:
        if name not in self.sizes:
            raise EditError("unknown-parameter", f"the model has no parameter `{name}`")
        if dim not in self.sizes[name]:
            raise EditError("unknown-dim", f"`{name}` has no dim `{dim}`")
        return self.sizes[name][dim]
