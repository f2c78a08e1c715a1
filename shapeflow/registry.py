"""All components by kind and name: those of the folders here, and strangers' by entry point.

A distribution adds its own under the group `shapeflow.<folder>`; the name of the module that holds the class is the
component's name, as it is here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from shapeflow.base.settings import name_of

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
}
"""What a component is called in messages -> the folder it stands in."""

FORMS = frozenset({"power"})
"""Components of `laws` that are the law itself (`law for ... is`); the others are sources (`laws from`)."""


@functools.cache
def components(kind: str) -> Mapping[str, Any]:
    """Name -> class of every component of a kind, in alphabetical order."""
    folder = KINDS[kind]
    found = {name_of(cls): cls for cls in import_module(f"shapeflow.{folder}").COMPONENTS}
    for entry in entry_points(group=f"shapeflow.{folder}"):
        stranger = entry.load()
        found.setdefault(name_of(stranger), stranger)
    if folder == "laws":
        found = {name: cls for name, cls in found.items() if (name in FORMS) == (kind == "law")}
    return dict(sorted(found.items()))


def kinds_of(name: str) -> list[str]:
    """The kinds that have a component of this name."""
    return [kind for kind in KINDS if name in components(kind)]
