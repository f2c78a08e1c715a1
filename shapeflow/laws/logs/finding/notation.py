"""Columns whose numbers are not written in the notation of Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.summary import Column

READ = ("compute", "error", "step", "tokens", "samples", "parameters", "epochs", "learning rate")
"""Roles of the columns of numbers that are read."""
WHOLE = ("compute", "step", "tokens", "samples", "parameters")
"""Those that hold whole numbers, if no multiple is stated."""


def with_commas(columns: Mapping[str, Column], asked: Collection[str] = ()) -> list[Column]:
    """Return the columns that are read and whose numbers hold commas. `asked`: columns that are read whatever their
    name says."""
    return [one for name, one in columns.items() if one.with_commas and (name in asked or words.role_of(name) in READ)]


def with_dots(columns: Mapping[str, Column], asked: Collection[str] = ()) -> list[Column]:
    """Return the columns of whole numbers that are read and whose numbers may hold dots between thousands."""
    return [one for name, one in columns.items() if (name in asked or _counts(name)) and one.with_dots]


def _counts(name: str) -> bool:
    role = words.role_of(name)
    each = words.flops_of(name) if role == "compute" else words.count_of(name)
    return role in WHOLE and each == 1
