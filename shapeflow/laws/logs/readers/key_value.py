"""Rows that hold one value each, with the name of its column in a cell: `key, value, step`, as MLflow keeps metrics."""

from __future__ import annotations

from collections.abc import Iterable

from shapeflow.laws.logs.readers.log import Row

KEYS = ("key", "metric", "metric_name", "tag", "name")
"""Names of the column that holds the names, the most specific first."""
MOST = 12
"""Rows with more columns hold several values each."""
VALUE, STEP = "value", "step"


def key_of(columns: Iterable[str]) -> str | None:
    """Return the column that holds the names of values. None if rows are not of this kind."""
    names = list(columns)
    if len(names) > MOST or not any(name.lower() == VALUE for name in names):
        return None
    found = {name.lower(): name for name in names}
    if STEP not in found:
        return None
    return next((found[key] for key in KEYS if key in found), None)


def spread(row: Row, key: str) -> Row:
    """Return a row with its value in the column that the cell `key` names."""
    value = next((cell for name, cell in row.items() if name.lower() == VALUE), None)
    rest = {name: cell for name, cell in row.items() if name != key and name.lower() != VALUE}
    return {**rest, str(row[key]).strip() or VALUE: value}
