"""Finds all components by kind and name: those in the folders of shapeflow, and those of other distributions, by entry
point.

A distribution adds components in the entry point group `shapeflow.<folder>`. As in shapeflow, the name of a component
is the name of the module that defines its class. Each class is compared with the protocol of its kind when the kind is
first loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import attrs

from shapeflow.base.conformance import faults
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.settings import name_of
from shapeflow.ir.components import PROTOCOLS

KINDS: Mapping[str, str] = {
    "model": "models",
    "data": "data",
    "objective": "objectives",
    "optimizer": "optimizers",
    "metric": "metrics",
    "axis": "axes",
    "transition": "transitions",
    "law source": "laws",
    "law": "laws",
    "traversal": "traversals",
    "schedule": "schedules",
    "cost": "costs",
}
"""Kind of component, as in messages -> its folder."""

FORMS = frozenset({"power"})
"""Components in `laws` that are a form of law (`law for ... is`); the others are sources of laws (`laws from`)."""


@attrs.frozen
class Loaded:
    """The components of a kind by name, in alphabetical order, and those that cannot be used."""

    components: Mapping[str, Any]
    broken: Mapping[str, tuple[Diagnostic, ...]]
    """Name of a component of another distribution -> what is wrong with it. If two components have the same name, the
    name may also be in `components`."""


@functools.cache
def loaded(kind: str) -> Loaded:
    """Load and check all components of a kind.

    A fault in a component of another distribution does not affect other components. Raises Refused `wrong-member` for a
    fault in a component of shapeflow."""
    folder = KINDS[kind]
    found = {name_of(cls): cls for cls in import_module(f"shapeflow.{folder}").COMPONENTS}
    if folder == "laws":
        found = {name: cls for name, cls in found.items() if (name in FORMS) == (kind == "law")}
    wrong = [each for name, cls in found.items() for each in _wrong_members(kind, name, cls, f"`{cls.__module__}`")]
    if wrong:
        raise Refused(*wrong)
    broken: dict[str, tuple[Diagnostic, ...]] = {}
    # Other distributions can add sources of laws, but the language has only one form of a stated law.
    for entry in entry_points(group=f"shapeflow.{folder}") if kind != "law" else ():
        name, cls, wrong = _brought(kind, entry)
        if name in found and cls is not found[name]:
            wrong = [_clash(kind, name, entry)]
        if wrong:
            broken[name] = (*broken.get(name, ()), *wrong)
        else:
            found.setdefault(name, cls)
    return Loaded(dict(sorted(found.items())), dict(sorted(broken.items())))


def components(kind: str) -> Mapping[str, Any]:
    """Name -> class of all usable components of a kind, in alphabetical order."""
    return loaded(kind).components


def kinds_of(name: str) -> list[str]:
    """The kinds that have a component of this name."""
    return [kind for kind in KINDS if name in components(kind)]


def _brought(kind: str, entry: EntryPoint) -> tuple[str, Any, list[Diagnostic]]:
    """The component that an entry point names: its name, its class, and what is wrong with it."""
    place, name = _place(entry), entry.module.rpartition(".")[2]
    try:
        cls = entry.load()
    except Exception as error:  # a module of another distribution may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = f"the {kind} `{name}` cannot be loaded"
        help_ = "correct the entry point or the module that it names, or uninstall the distribution"
        return name, None, [Diagnostic("broken-component", message, place=place, notes=(reason,), help=help_)]
    if isinstance(cls, type):
        name = name_of(cls)
    return name, cls, _wrong_members(kind, name, cls, place)


def _wrong_members(kind: str, name: str, cls: Any, place: str) -> list[Diagnostic]:
    return [
        Diagnostic("wrong-member", f"the {kind} `{name}` {fault.message}", place=place, help=fault.help)
        for fault in faults(cls, PROTOCOLS[kind])
    ]


def _clash(kind: str, name: str, entry: EntryPoint) -> Diagnostic:
    message = f"another {kind} is called `{name}` already, and this one is not used"
    help_ = "rename the module that holds the class"
    return Diagnostic("component-clash", message, place=_place(entry), help=help_, severity="warning")


def _place(entry: EntryPoint) -> str:
    """The distribution and the entry point, as text."""
    brought_by = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    return f"entry point `{entry.name} = {entry.value}`{brought_by}"
