"""Selects the switches that a probe measures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.program import AxisUse, Program


@attrs.frozen
class Switch:
    """A switch along one axis."""

    axis: str
    before: Shape
    after: Shape

    @property
    def name(self) -> str:
        return f"{self.axis} {self.before[self.axis]} -> {self.after[self.axis]}"


def axis_of(program: Program, name: str) -> AxisUse:
    for axis in program.axes:
        if name in (axis.name, name_of(axis.transition)):
            return axis
    known = ", ".join(f"{axis.name} ({name_of(axis.transition)})" for axis in program.axes)
    message = f"the file has no axis or transition called `{name}`"
    raise Refused(Diagnostic("unknown-axis", message, place="--transition", notes=(f"axes: {known}",)))


def switches(program: Program, axis: AxisUse, pairs: Sequence[tuple[str, str]]) -> list[Switch]:
    """The switches to probe: the given pairs, else neighbouring values in file order, each in a direction that the
    transition allows. Raises Refused."""
    named = {str(value): value for value in axis.values}
    wanted = []
    for one in pairs:
        if not set(one) <= set(named):
            message = f"{axis.name} has no value {next(value for value in one if value not in named)}"
            notes = (f"values: {', '.join(named)}",)
            raise Refused(Diagnostic("unknown-value", message, place="--pair", notes=notes))
        wanted.append((named[one[0]], named[one[1]]))
    found = []
    for values in wanted or list(itertools.pairwise(axis.values)):
        sides = _sides(program, axis.name, values)
        if sides is None and not wanted:
            sides = _sides(program, axis.name, values[::-1])
        if sides is not None:
            found.append(Switch(axis.name, *sides))
        elif wanted:
            message = f"no plan can switch from {axis.name} {values[0]} to {values[1]}"
            help_ = "name another pair, the old value first"
            raise Refused(Diagnostic("one-way-transition", message, place="--pair", help=help_))
    if not found:
        message = f"there is no switch along {axis.name} to probe"
        raise Refused(Diagnostic("no-candidates", message, place="--transition", help="list two or more values"))
    return found


def _sides(program: Program, axis: str, values: tuple[Value, Value]) -> tuple[Shape, Shape] | None:
    """The first two candidates that differ only in these values; None if there is no such pair, or the transition does
    not allow this direction."""
    for before in program.candidates:
        after = before.with_({axis: values[1]})
        if before[axis] == values[0] and values[0] != values[1] and after in program.candidates:
            return None if program.backward(before, after) else (before, after)
    return None
