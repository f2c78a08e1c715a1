"""Reader of JSON lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.base.json_text import parse_json
from shapeflow.laws.logs.readers import key_value, nested
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable


def rows(log: Log) -> Iterator[Row]:
    """Yield the objects of a file, one per line, with a column for each cell of objects within them. NaN and Infinity
    are accepted, since trainers write them. Raises Unreadable."""
    for row in objects(log):
        key = key_value.key_of(row)
        yield nested.flat(row if key is None else key_value.spread(row, key))


def objects(log: Log) -> Iterator[Row]:
    """Yield the objects of a file as they are, one per line. Raises Unreadable."""
    lines = Lines(log)
    for index, line in enumerate(lines):
        row = parsed(line)
        if row is not None:
            yield row
        elif not lines.ended:
            log.torn = True
        elif index == 0:
            raise Unreadable("its first line is not a JSON object")
        else:
            log.broken += 1


def parsed(line: str) -> Row | None:
    """Return the object in a line. None if the line is not a JSON object."""
    try:
        row = parse_json(line, finite=False)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
