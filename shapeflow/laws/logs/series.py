"""The columns of one curve of a table, and how compute follows from a row."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs
import numpy as np

from shapeflow.laws.logs.readers import Block, Row, number
from shapeflow.laws.logs.readers.block import NUMBER
from shapeflow.laws.logs.rows import Cells

HELD_OUT = ("eval", "val", "valid", "validation", "test", "held_out")
"""Prefixes in the names of errors on held-out data."""
_HELD_OUT = re.compile(r"(?i)(.*[^a-z])?(eval|evaluation|val|valid|validation|test|dev|held.?out)([^a-z].*)?")
_TRAINING = re.compile(r"(?i)(.*[^a-z])?(train|training)([^a-z].*)?")


@attrs.frozen
class Product:
    """A product of a factor and some columns."""

    columns: tuple[str, ...]
    factor: float = 1.0

    def of(self, row: Row) -> float | str:
        """Return the product of a row, or the reason why there is none: `blank` or `no number`."""
        product = self.factor
        for column in self.columns:
            cell = number(row.get(column))
            if not isinstance(cell, float):
                return cell
            product *= cell
        return product

    def of_block(self, block: Block) -> Cells:
        """Return the products of many rows."""
        product, kinds = np.full(block.count, self.factor), np.full(block.count, NUMBER, np.int8)
        with np.errstate(all="ignore"):
            for column in self.columns:
                values, found = block.numbers(column)
                kinds = np.where(kinds == NUMBER, found, kinds)
                product = product * values
        return Cells(product, kinds)


@attrs.frozen
class Progress:
    """A column that says how far a run is."""

    column: str
    unit: float = 1.0
    """Steps, or images or tokens, for one unit of the column."""
    data: bool = False
    """Whether the unit is images or tokens. Otherwise, it is steps."""
    late: bool = False
    """Whether the column counts from 0 what has already ended, as trainers count epochs."""
    source: str = ""
    """What says the unit, if no setting does."""

    def of(self, row: Row) -> float | str:
        """Return the steps, or the images or tokens, of a row, or the reason why there are none."""
        value = number(row.get(self.column))
        return (value + self.late) * self.unit if isinstance(value, float) else value

    def of_block(self, block: Block) -> Cells:
        """Return the steps, or the images or tokens, of many rows."""
        values, kinds = block.numbers(self.column)
        with np.errstate(all="ignore"):
            return Cells((values + float(self.late)) * self.unit, kinds)

    @property
    def said(self) -> str:
        """How compute follows, for messages."""
        each = "" if self.unit == 1 else f" of {self.unit:g} {'images or tokens' if self.data else 'steps'}"
        what = f"`{self.column}`{each}" if self.data or each else "steps"
        per = "image or token" if self.data else "step"
        what += f" (by {self.source} next to the log)" if self.source else ""
        return f"{what} times the model's FLOPs per {per}"


@attrs.frozen
class Series:
    """The columns of one curve of a table."""

    error: str
    compute: Product | None
    """None: compute is the progress times the FLOPs of the model."""
    step: Progress | None
    rate: str | None
    runs: tuple[str, ...]
    axes: Mapping[str, str]
    """Axis -> the column of its values."""
    given: Mapping[str, str] = attrs.field(factory=dict)
    """Axis, or `run` -> its value in the name of the error column or in the path of the file."""
    guessed: str | None = None
    """How the column of compute was found, if no setting and no usual name says so."""
    size: str | None = None
    """The column of the number of parameters, if it is needed."""
    epochs: str | None = None
    """The column that counts epochs, if there is one."""

    @property
    def evaluation(self) -> str | None:
        """`held-out` or `training`, by the name of the error column. None: unknown."""
        return evaluation(self.error)


def evaluation(name: str) -> str | None:
    """Return `held-out` or `training`, by the name of an error. None: unknown."""
    if _HELD_OUT.fullmatch(name):
        return "held-out"
    return "training" if _TRAINING.fullmatch(name) else None


def error_names(metric: str) -> list[str]:
    """Return the possible names of the error column of a metric, in order of preference: the metric itself, `error` (if
    the metric is not an error), names on held-out data such as `eval_loss`, and `loss` (or `error`)."""
    metric = metric.partition(":")[0]
    bare = metric.partition("@")[0]
    general = ["error"] if bare.endswith("error") else ["error", "loss"]
    held = [f"{prefix}{mark}{general[-1]}" for prefix in HELD_OUT for mark in "_/"]
    own = [metric] if bare in general else [metric, bare]
    return list(dict.fromkeys([*own, *general[:-1], *held, general[-1]]))
