"""What to say of runs that would be taken for runs of one shape, and differ in what may be their shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.summary import Column

SHOWN = 6
"""Most values of a column that are listed."""


def unshaped_runs(columns: Mapping[str, Column], unshaped: Sequence[str]) -> str:
    """Return the columns in which such runs differ, and what to write."""
    listed = " and ".join(f"`{name}` ({', '.join(list(columns[name].values)[:SHOWN])})" for name in unshaped[:4])
    whole = [name for name in unshaped if columns[name].whole and columns[name].numeric]
    size = next(iter([*(name for name in whole if not words.is_parameters(name)), *whole]), None)
    setting = f'if `{size}` is the width, write `axes: (width: "{size}")` (or `depth`, ...); ' if size else ""
    return (
        f"runs that would be taken for one shape differ in {listed}: {setting}if they are of one shape, select one "
        f"value by `where: ({unshaped[0]}: ...)`"
    )
