"""The usual names of columns."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from shapeflow import registry
from shapeflow.base.units import UNITS
from shapeflow.ir.components import Axis
from shapeflow.laws.logs.readers import number

STEPS = ("step", "steps", "global_step", "iteration", "iter", "it", "update", "updates", "train_step")
RATES = ("learning_rate", "lr")
RUNS = ("run_id", "id", "name", "uuid", "experiment", "trial", "schedule", "record", "model", "tag")
"""Columns that may separate runs, in addition to those that a fit uses by default."""
TIMES = {"seconds", "sec", "s", "ms", "time", "hours", "wall", "timestamp", "runtime", "elapsed"}
LARGEST = 2**53
"""Values of an axis are below this: larger floats cannot be distinguished."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HELD_OUT = re.compile(r"(val|eval|valid|validation|test|held|heldout|dev)\d*")
_NEVER = {"grad", "gradient", "norm", "throughput", "util", "mem", "memory", "temp", "temperature", "weight", "decay"}
PARAMETERS = re.compile(r"(n|num|total|model)?_?(params|parameters|model_size)(_.*)?|model_size|non_embedding_params")
TOKENS = re.compile(r"(n|num|total|train|training|consumed)?_?tokens(_seen|_so_far|_total)?")
_COMPUTE = re.compile(
    r"(?:(?:total|train|training|cumulative|cum)_)*(k|m|g|t|p|e|z)?(flops?|flos|macs?|compute)(?:_total|_so_far)?"
)
_ERROR = re.compile(r"(loss|err|error|ce|cross_entropy|nll|bpb|xent)")
_GOOD = re.compile(r"acc|accuracy|top\d|precision|recall|miou|iou|f1|auc|bleu")
_SHARE = re.compile(r"err|error")


def plain(name: str) -> str:
    """A name in lower case with underscores between its words; the group before a slash is removed."""
    return re.sub(r"[^a-z0-9@]+", "_", name.rpartition("/")[2].lower()).strip("_")


def axes() -> Mapping[str, type[Axis]]:
    """Every axis by name."""
    return registry.components("axis")


@functools.cache
def columns_of_axes() -> Mapping[str, str]:
    """Usual name of a column -> its axis. The name of an axis always stands for that axis."""
    usual = {column: name for name, axis in axes().items() for column in axis.columns}
    return {**usual, **{name: name for name in axes()}}


def axis_of(name: str) -> str | None:
    """The axis that a column of this name contains; None if it is not the name of an axis."""
    return columns_of_axes().get(plain(name))


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


def flops_of(name: str) -> float | None:
    """FLOPs per unit of a column whose name says that it counts compute; None for other names."""
    match = _COMPUTE.fullmatch(plain(name))
    if match is None:
        return None
    prefix = (match[1] or "").upper().replace("K", "k")
    return UNITS[f"{prefix}FLOPs"].size * (2.0 if match[2].startswith("mac") else 1.0)


def words(name: str) -> list[str]:
    """The words of a name, including the group before a slash."""
    return [word for part in name.split("/") for word in plain(part).replace("@", "_").split("_")]


def is_time(name: str) -> bool:
    """Whether this is the name of a time."""
    return not TIMES.isdisjoint(words(name))


def is_held_out(name: str) -> bool:
    """Whether this is the name of a value measured on held-out data."""
    return any(_HELD_OUT.fullmatch(word) for word in words(name))


def may_be_error(name: str) -> bool:
    """Whether a column of this name may be an error if its values fall during runs."""
    return _NEVER.isdisjoint(words(name))


def is_error(name: str) -> bool:
    """Whether this is the name of a value where lower is better."""
    return any(_ERROR.fullmatch(word) for word in words(name)) or plain(name).startswith("cross_entropy")


def is_share(name: str) -> bool:
    """Whether an error of this name is a share of wrong answers."""
    return any(_SHARE.fullmatch(word) for word in words(name))


def is_good(name: str) -> bool:
    """Whether this is the name of a value where higher is better."""
    return any(_GOOD.fullmatch(word) for word in words(name))
