"""All components by kind and name: those of the folders here, and those of other distributions by entry point.

A distribution adds its own under the group `shapeflow.<folder>`; the name of the module that holds the class is the
component's name, as it is here. Every class is compared with the protocol of its kind when its kind is first asked for.
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
}
"""What a component is called in messages -> the folder it stands in."""

FORMS = frozenset({"power"})
"""Components of `laws` that are the law itself (`law for ... is`); the others are sources (`laws from`)."""


@attrs.frozen
class Loaded:
    """The components of a kind, by name in alphabetical order, and those that cannot be used."""

    components: Mapping[str, Any]
    broken: Mapping[str, tuple[Diagnostic, ...]]
    """Name of a component of another distribution -> what is wrong with it. A name may also be in `components`, if two
    have the same."""


@functools.cache
def loaded(kind: str) -> Loaded:
    """Load and check all components of a kind.

    A fault in a component of another distribution leaves the others usable. Raises Refused `wrong-member` for a fault
    in one of shapeflow's own."""
    folder = KINDS[kind]
    found = {name_of(cls): cls for cls in import_module(f"shapeflow.{folder}").COMPONENTS}
    if folder == "laws":
        found = {name: cls for name, cls in found.items() if (name in FORMS) == (kind == "law")}
    wrong = [each for name, cls in found.items() for each in _wrong_members(kind, name, cls, f"`{cls.__module__}`")]
    if wrong:
        raise Refused(*wrong)
    broken: dict[str, tuple[Diagnostic, ...]] = {}
    # Another distribution can bring law sources; the language knows one form of a stated law.
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
    """Name -> class of every component of a kind that can be used, in alphabetical order."""
    return loaded(kind).components


def kinds_of(name: str) -> list[str]:
    """The kinds that have a component of this name."""
    return [kind for kind in KINDS if name in components(kind)]


def _brought(kind: str, entry: EntryPoint) -> tuple[str, Any, list[Diagnostic]]:
    """The component that an entry point names: its name, its class, and what is wrong with it."""
    place, name = _place(entry), entry.module.rpartition(".")[2]
    try:
        cls = entry.load()
    except Exception as error:  # whatever the module of another distribution raises
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
    """The distribution and the entry point, in words."""
    brought_by = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    return f"entry point `{entry.name} = {entry.value}`{brought_by}"
