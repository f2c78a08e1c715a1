"""Reader of delimited tables: a header, then one row per line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from shapeflow.laws.logs.readers import key_value, wandb
from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.ends import Ends
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable

DELIMITERS = (",", "\t", ";", "|")
"""Separators of columns, the first of equally frequent ones first."""

NO_HEADER = "its first line is not a header of columns separated by commas, tabs or semicolons"


def rows(log: Log) -> Iterator[Row]:
    """Yield the rows of a table with columns separated by commas, tabs, semicolons, bars or blanks. Raises
    Unreadable."""
    return wandb.finished(log, _rows(log))


def _rows(log: Log) -> Iterator[Row]:
    lines = Lines(log)
    each = iter(lines)
    first = next(each, None)
    if first is None:
        return
    separator = delimiter(first)
    cells = csv.reader(chain([first], each), delimiter=separator, skipinitialspace=separator == " ")
    good, end = 0, Ends()
    try:
        header = [name.strip() for name in next(cells)]
        _check(header)
        wandb.mark(log, header)
        key = key_value.key_of(header)
        log.uniform = key is None
        for row in cells:
            if not lines.ended and not (len(row) == len(header) and end.whole("", row[-1], lines.text)):
                log.torn = True
            elif len(row) == len(header):
                good += 1
                end.see("", row[-1])
                one: Row = dict(zip(header, row, strict=True))
                yield one if key is None else key_value.spread(one, key)
            else:
                log.broken += 1
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from None
    if separator == " " and not good:
        raise Unreadable(NO_HEADER)
    if log.broken > good:
        raise Unreadable(f"{log.broken} of its {log.broken + good} lines do not fit its first line")


def delimiter(header: str) -> str:
    """Return the column separator of a header: the one that makes the most columns; a blank if no other makes two."""
    counts = {sign: count(header, sign) for sign in DELIMITERS}
    best = max(DELIMITERS, key=lambda sign: counts[sign])
    words = header.split()
    plain = len(words) >= 2 and all(word.replace("/", "_").isidentifier() for word in words)
    return " " if counts[best] < 2 and plain else best


def count(line: str, separator: str) -> int:
    """Return the number of cells of a line; 0 if it is not a line of a table."""
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 0


def _check(header: list[str]) -> None:
    if len(header) < 2:
        raise Unreadable(NO_HEADER)
    if all(isinstance(number(name), float) for name in header):
        raise Unreadable("its first line holds numbers, not the names of columns")
    name, times = Counter(header).most_common(1)[0]
    if times > 1 and name:
        raise Unreadable(f"its header has {times} columns `{name}`")
