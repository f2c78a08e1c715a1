"""Reads tensors of a user's module through the views of a plan, without moving them.

A module that holds such a tensor gets a subclass of its class, in which the name of the tensor is a property: reading
`module.weight` returns the tensor as the plan's shape has it. `parameters()`, `state_dict()` and the optimizer keep the
stored tensor under its own name and in its own place, which torch's parametrizations would change."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import Cell, cells
from shapeflow.ir.edits import Resize
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import Parameter
from shapeflow_torch.adopt.cells import joined, sizes_of, split
from shapeflow_torch.reading import Reading

_SEEN, _PLAIN = "_shapeflow_seen", "_shapeflow_plain"
"""Attribute of a module: name -> how its tensor is read; attribute of its class: the class without views."""
Rules = Mapping[str, Mapping[str, Resize]]
"""Parameter of the plan -> dim -> the rule of its view."""


class Seen:
    """How one tensor of a module is read. Gradients flow to the stored tensor."""

    def __init__(self, cell: Cell, ledger: Ledger, like: Tensor) -> None:
        """`like`: the stored tensor, for which the matrices are made now."""
        self.cell = cell
        self.rules: Rules = {name: own for name in cell.layout.ours if (own := resized(ledger, name))}
        self._sizes = {one: ledger.stored(name) for name, one in zip(cell.layout.ours, cell.ours, strict=True)}
        self._parts = tuple(
            (ledger.table[name], tuple(ledger.sizes[name].items()), tuple(self.rules.get(name, {}).items()))
            for name in cell.layout.ours
        )
        self._made = {(like.device, like.dtype): self._readings(like)}

    def __call__(self, stored: Tensor) -> Tensor:
        """Return a stored tensor as it is read."""
        if not self.rules:
            return stored
        key = (stored.device, stored.dtype)
        if key not in self._made:
            self._made[key] = self._readings(stored)
        parts = split(self.cell, stored, self._sizes)
        read = [reading(parts[name]) for reading, name in zip(self._made[key], self.cell.ours, strict=True)]
        return joined(self.cell, read, stored.dim())

    def _readings(self, like: Tensor) -> list[Reading]:
        return [_reading(*part, like.device, like.dtype) for part in self._parts]


@functools.lru_cache(maxsize=256)
def _reading(
    parameter: Parameter,
    sizes: tuple[tuple[str, int], ...],
    rules: tuple[tuple[str, Resize], ...],
    device: torch.device,
    dtype: torch.dtype,
) -> Reading:
    """Return a reading, whose matrices steps that alternate between shapes share."""
    return Reading(parameter, dict(sizes), dict(rules), device, dtype)


def resized(ledger: Ledger, name: str) -> dict[str, Resize]:
    """Return the views of a parameter that change a size."""
    return {dim: rule for dim, rule in ledger.views[name].items() if rule.to != ledger.sizes[name][dim]}


def rules_of(ledger: Ledger) -> Rules:
    """Return the views of a ledger that change a size."""
    return {name: own for name in ledger.table if (own := resized(ledger, name))}


def current(model: nn.Module) -> Rules:
    """Return the views through which a module is read now."""
    found = dict[str, Mapping[str, Resize]]()
    for seen in _seen_in(model):
        found.update(seen.rules)
    return found


def sizes_under(ledger: Ledger, rules: Rules) -> dict[str, int]:
    """Return what `sizes_of` does, for parameters that are read through views."""
    return {**sizes_of(ledger), **{dim: rule.to for own in rules.values() for dim, rule in own.items()}}


def enter(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Read the tensors of a module of the ledger's sizes through the ledger's views from now on, and set what its
    modules keep of their sizes."""
    before = [name for seen in _seen_in(model) for name in seen.cell.layout.ours]
    for cell in cells(adapter, ledger, {*rules_of(ledger), *before}):
        path, _, name = cell.theirs.rpartition(".")
        owner = model.get_submodule(path)
        stored = owner._parameters[name]
        assert stored is not None
        _see(owner, name, Seen(cell, ledger, stored))
    for (_, module), attribute, value in attributes(model, adapter, ledger, sizes_under(ledger, rules_of(ledger))):
        setattr(module, attribute, value)


def attributes(
    model: nn.Module, adapter: Adapter, ledger: Ledger, sizes: Mapping[str, int]
) -> list[tuple[tuple[str, nn.Module], str, object]]:
    """Return the attributes that an adapter names and the module has: path and module, name, and value for `sizes`."""
    found = []
    for path, rules in adapter.attributes.items():
        for block in range(sizes_of(ledger)["depth"]) if "{depth}" in path else (0,):
            place = path.replace("{depth}", str(block))
            module = model.get_submodule(place)
            found += [((place, module), name, rule(sizes)) for name, rule in rules.items() if hasattr(module, name)]
    return found


def _seen_in(model: nn.Module) -> list[Seen]:
    return [seen for module in model.modules() for seen in vars(module).get(_SEEN, {}).values()]


def _see(owner: nn.Module, name: str, seen: Seen) -> None:
    views = {**vars(owner).get(_SEEN, {}), name: seen}
    kind: Any = type(owner)
    owner.__class__ = _viewed(getattr(kind, _PLAIN, kind), tuple(sorted(views)))
    setattr(owner, _SEEN, views)


@functools.cache
def _viewed(kind: Any, names: tuple[str, ...]) -> Any:
    """Return a subclass of a module's class that reads these tensors through views. It bears the name of the class."""

    def reduced(self: nn.Module, protocol: int) -> tuple[Any, ...]:
        # What is pickled names the class without views, which can be imported.
        _, _, *rest = tuple(kind.__reduce_ex__(self, max(2, protocol)))
        return (_made_again, (kind, names), *rest)

    space: dict[str, Any] = {name: property(_through(name)) for name in names}
    space |= {_PLAIN: kind, "__reduce_ex__": reduced}
    return type(kind.__name__, (kind,), {**space, "__module__": kind.__module__, "__qualname__": kind.__qualname__})


def _through(name: str) -> Callable[[nn.Module], Tensor | None]:
    def read(self: nn.Module) -> Tensor | None:
        stored, seen = self._parameters[name], self.__dict__[_SEEN][name]
        return None if stored is None else seen(stored)

    return read


def _made_again(kind: Any, names: tuple[str, ...]) -> Any:
    made = _viewed(kind, names)
    return made.__new__(made)
