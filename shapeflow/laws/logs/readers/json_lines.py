"""Reader of JSON lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.base.json_text import parse_json
from shapeflow.laws.logs.readers import key_value, nested
from shapeflow.laws.logs.readers.block import Wanted
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Piece, Row, Unreadable
from shapeflow.laws.logs.readers.objects import Objects


def rows(log: Log) -> Iterator[Row]:
    """Yield the objects of a file, one per line, with a column for each cell of objects within them. NaN and Infinity
    are accepted, since trainers write them. Raises Unreadable."""
    for row in objects(log):
        key = key_value.key_of(row)
        yield nested.flat(row if key is None else key_value.spread(row, key))


def pieces(log: Log, wanted: Wanted | None) -> Iterator[Piece]:
    """Yield the same rows, most of them in blocks, with the columns that are wanted. Raises Unreadable."""
    lines, reader = Lines(log), Objects(wanted)
    each = iter(lines)
    begun = False
    while True:
        # Objects take many times the memory of their text.
        ahead = lines.ahead(small=True) if begun else b""
        if ahead and (block := reader.block(ahead)) is not None:
            lines.take(ahead)
            yield block
            continue
        until = lines.at + len(ahead)
        for line in each:
            row = _row(log, lines, line, not begun)
            begun = True
            if row is not None:
                key = key_value.key_of(row)
                yield nested.flat(row if key is None else key_value.spread(row, key))
            if lines.at >= until:
                break
        else:
            break


def objects(log: Log) -> Iterator[Row]:
    """Yield the objects of a file as they are, one per line. Raises Unreadable."""
    lines = Lines(log)
    for index, line in enumerate(lines):
        if (row := _row(log, lines, line, index == 0)) is not None:
            yield row


def _row(log: Log, lines: Lines, line: str, first: bool) -> Row | None:
    """Return the object in a line; None for another line, which is counted. Raises Unreadable for the first one."""
    row = parsed(line)
    if row is None and not lines.ended:
        log.torn = True
    elif row is None and first:
        raise Unreadable("its first line is not a JSON object")
    elif row is None:
        log.broken += 1
    return row


def parsed(line: str) -> Row | None:
    """Return the object in a line. None if the line is not a JSON object."""
    try:
        row = parse_json(line, finite=False)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
