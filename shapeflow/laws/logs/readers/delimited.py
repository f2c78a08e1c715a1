"""Reader of CSV and TSV: a header, then one row per line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from shapeflow.laws.logs.readers import wandb
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable


def rows(log: Log) -> Iterator[Row]:
    """Yield the rows of a table with columns separated by commas or tabs. Raises Unreadable."""
    lines = Lines(log)
    each = iter(lines)
    first = next(each, None)
    if first is None:
        return
    cells = csv.reader(chain([first], each), delimiter=delimiter(first))
    try:
        header = [name.strip() for name in next(cells)]
        _check(header)
        wandb.mark(log, header)
        for row in cells:
            # A truncated number is still a valid number, so a row without a line end may be wrong.
            if not lines.ended:
                log.torn = True
            elif len(row) == len(header):
                yield dict(zip(header, row, strict=True))
            else:
                log.broken += 1
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from None


def delimiter(header: str) -> str:
    """Return the column separator of a header: a tab or a comma."""
    return "\t" if header.count("\t") > header.count(",") else ","


def _check(header: list[str]) -> None:
    if len(header) < 2:
        raise Unreadable("its first line is not a header of columns separated by commas or tabs")
    name, times = Counter(header).most_common(1)[0]
    if times > 1 and name:
        raise Unreadable(f"its header has {times} columns `{name}`")
