"""What is asked of logs: their files, and the names of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.units import Amount
from shapeflow.laws.logs.readers import Numerals

ANY_SIZE = ("parameters", "N")
"""Asks for the column that is a number of parameters by its words, or the letter of papers."""


@attrs.frozen
class Query:
    """The pattern of the logs and the names of their columns. None, or an axis without an entry: the default names."""

    pattern: str
    compute: str | None = None
    flops: float = 1.0
    """FLOPs per unit of the compute column."""
    error: str | None = None
    step: str | None = None
    step_unit: Amount | None = None
    """What one unit of the step column is: steps, tokens or samples."""
    run: tuple[str, ...] = ()
    """The columns that identify a run together."""
    rate: str | None = None
    """The column of the learning rate."""
    numerals: Numerals = "plain"
    axes: Mapping[str, str] = attrs.field(factory=dict)
    where: Mapping[str, Any] = attrs.field(factory=dict)
    size: tuple[str, ...] = ()
    """Possible names of the column of the number of parameters; empty if it is not needed."""
    ends: bool = False
    """Whether a row may be the end of a run of its own."""
