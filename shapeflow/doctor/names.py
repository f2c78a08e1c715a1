"""The usual names of the columns of axes, by the axes that the registry knows."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from shapeflow import registry
from shapeflow.ir.components import Axis
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.readers import number

LARGEST = 2**53
"""Values of an axis are below this: larger floats cannot be distinguished."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def axes() -> Mapping[str, type[Axis]]:
    """Every axis by name."""
    return registry.components("axis")


@functools.cache
def columns_of_axes() -> Mapping[str, str]:
    """Usual name of a column -> its axis. The name of an axis always stands for that axis."""
    usual = {column: name for name, axis in axes().items() for column in axis.columns}
    return {**usual, **{name: name for name in axes()}}


@functools.cache
def axis_words() -> AxisWords:
    """The usual names of the columns of all axes."""
    return AxisWords(columns_of_axes(), frozenset(axis for axis in axes() if is_named(axis)))


def axis_of(name: str) -> str | None:
    """The axis that a column of this name contains; None if it is not the name of an axis."""
    return axis_words().of(name)


def mover_of(axis: str) -> str:
    """The transition to propose for an axis, in the syntax of a `.shape` file; `{first}` is replaced by the first value
    listed."""
    movers = registry.components("transition").items()
    return axes()[axis].usual or next((name for name, mover in movers if mover.axis == axis), "TRANSITION")


def is_named(axis: str) -> bool:
    """Whether the values of an axis are names."""
    return axes()[axis].dimension == "name"


def value_of(axis: str, cell: Any) -> str | None:
    """A cell as a value of an axis, in the syntax of a `.shape` file (`64` for 64.0); None if it is not a value of the
    axis."""
    value = number(cell)
    if is_named(axis):
        text = str(cell).strip()
        return text if _NAME.fullmatch(text) and not isinstance(value, float) else None
    return f"{value:.0f}" if isinstance(value, float) and 0 < value < LARGEST and value.is_integer() else None
