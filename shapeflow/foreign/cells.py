"""Where each tensor of a plan stands among the tensors of a model of another library."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter, Layout
from shapeflow.ir.ledger import Ledger


@attrs.frozen
class Cell:
    """One tensor of the module, and the tensors of the plan in it."""

    layout: Layout
    theirs: str
    ours: tuple[str, ...]

    def fits(self, have: tuple[int, ...], ours: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether the module's tensor has the sizes of those of the plan, up to axes of 1 in front."""
        sizes = [ours[name] for name in self.ours]
        whole = (sum(size[0] for size in sizes), *sizes[0][1:])
        whole = whole[::-1] if self.layout.transposed else whole
        plain = have[len(have) - len(whole) :] if len(have) >= len(whole) else ()
        return plain == whole and math.prod(have) == math.prod(whole)


def cells(adapter: Adapter, ledger: Ledger, only: Collection[str] | None = None) -> list[Cell]:
    """Return the cells of a module in the sizes of a ledger. `only`: the parameters of the plan that are asked for;
    None: all. Raises Refused `unfit-model` if the adapter does not say where one of them stands."""
    wanted = set(ledger.table) if only is None else set(only)
    found, covered = [], set[str]()
    for layout in adapter.layouts:
        if wanted.isdisjoint(layout.ours) or not all(name in ledger.table for name in layout.ours):
            continue
        members = [ledger.members(name) for name in layout.ours]
        for at, ours in enumerate(zip(*members, strict=True)):
            found.append(Cell(layout, layout.theirs.replace("{depth}", str(at)), ours))
        covered.update(layout.ours)
    if missing := sorted(wanted - covered):
        message = f"the adapter `{adapter.name}` does not say where `{missing[0]}` of the plan stands"
        raise Refused(unfit(message, "use the adapter of the plan's model, or add a `Layout` to it"))
    return found


def unfit(message: str, help_: str, notes: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic("unfit-model", message, place="model", notes=notes, help=help_)
