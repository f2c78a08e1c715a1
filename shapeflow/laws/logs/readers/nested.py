"""Objects within objects, as some programs write JSON: `{"step": 40, "eval": {"loss": 3.2}}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.log import Row

DEEPEST = 8
"""Objects that are nested deeper than this are left as they are."""
KEY = "key"
"""The column of the keys of a document that holds an object for each row."""


def flat(row: Row) -> Row:
    """Return a row with a column for each cell of its objects, named by the keys on the way: `eval/loss`."""
    if not any(isinstance(cell, dict) for cell in row.values()):
        return row
    return dict(_cells(row, "", 0))


def _cells(row: Mapping[str, Any], lead: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, cell in row.items():
        if isinstance(cell, dict) and depth < DEEPEST:
            yield from _cells(cell, f"{lead}{name}/", depth + 1)
        else:
            yield lead + name, cell


def rows_in(document: Mapping[str, Any]) -> list[Row] | None:
    """Return the rows of a document that is one object: columns as lists of equal length, one list of objects, or an
    object for each row. Single values that stand next to the list of objects are cells of each row, as a
    configuration is. None if it holds none of these, or several."""
    found = flat(document)
    lists = {name: cell for name, cell in found.items() if isinstance(cell, list) and cell}
    of_rows = [name for name, cell in lists.items() if _are_rows(cell)]
    if len(of_rows) == 1:
        known = {name: cell for name, cell in found.items() if not isinstance(cell, list | dict)}
        return [{**known, **flat(row)} for row in lists[of_rows[0]]]
    if len(lists) > 1 and not of_rows and len({len(cells) for cells in lists.values()}) == 1:
        return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    if len(document) > 1 and all(isinstance(cell, dict) for cell in document.values()):
        entries = all(isinstance(number(name), float) for name in document)
        return [{KEY: name, **flat(cell)} for name, cell in document.items()] if entries else None
    return None


def _are_rows(cells: Sequence[Any]) -> bool:
    return len(cells) > 1 and all(isinstance(cell, dict) for cell in cells)
