"""Reader of delimited tables: a header, then one row per line."""

from __future__ import annotations

import csv
import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import attrs

from shapeflow.laws.logs.readers import key_value, wandb
from shapeflow.laws.logs.readers.block import Block, Wanted
from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.columnar import Columnar, columnar
from shapeflow.laws.logs.readers.ends import ALIKE, Ends
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Piece, Row, Unreadable

DELIMITERS = (",", "\t", ";", "|")
"""Separators of columns, the first of equally frequent ones first."""

LARGE = 1 << 20
"""Files of this many bytes are read in blocks. Of others, loading pyarrow would take longer than reading them."""
TAIL = 1 << 12
"""Number of bytes at the end of a block that show its last rows."""
NO_HEADER = "its first line is not a header of columns separated by commas, tabs or semicolons"


def rows(log: Log) -> Iterator[Row]:
    """Yield the rows of a table with columns separated by commas, tabs, semicolons, bars or blanks. Raises
    Unreadable."""
    for piece in wandb.finished(log, _pieces(log, None)):
        assert not isinstance(piece, Block)
        yield piece


def pieces(log: Log, wanted: Wanted | None) -> Iterator[Piece]:
    """Yield the same rows, most of them in blocks, with the columns that are wanted. Without pyarrow, and for short
    files, yield single rows. Raises Unreadable."""

    def blocks(header: Sequence[str], separator: str) -> Columnar | None:
        # Rows of runs that did not finish are left out one by one.
        return None if set(header) >= wandb.OF_RUNS else columnar(header, separator, wanted)

    return wandb.finished(log, _pieces(log, blocks if log.path.stat().st_size >= LARGE else None))


def _pieces(log: Log, blocks: Callable[[Sequence[str], str], Columnar | None] | None) -> Iterator[Piece]:
    lines = Lines(log)
    each = iter(lines)
    first = next(each, None)
    if first is None:
        return
    separator = delimiter(first)
    cells = csv.reader(chain([first], each), delimiter=separator, skipinitialspace=separator == " ")
    table = _Table(log, lines, separator)
    try:
        header = [name.strip() for name in next(cells)]
        _check(header)
        wandb.mark(log, header)
        key = key_value.key_of(header)
        log.uniform = key is None
        reader = blocks(header, separator) if blocks is not None and key is None else None
        while True:
            ahead = lines.ahead() if reader is not None else b""
            if reader is not None and ahead and (block := table.block(reader, header, ahead)) is not None:
                yield block
                continue
            # A row may end after the lines that were looked at.
            until = lines.at + len(ahead) if ahead else math.inf
            for row in cells:
                if (one := table.row(header, row)) is not None:
                    yield one if key is None else key_value.spread(one, key)
                if lines.at >= until:
                    break
            else:
                break
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from None
    table.close()


@attrs.define
class _Table:
    """The rows of a table that were read so far."""

    log: Log
    lines: Lines
    separator: str
    good: int = 0
    end: Ends = attrs.field(factory=Ends)

    def row(self, header: Sequence[str], row: list[str]) -> Row | None:
        """Return a row by its columns. None if it does not have the columns of the header."""
        if not self.lines.ended and not (len(row) == len(header) and self.end.whole("", row[-1], self.lines.text)):
            self.log.torn = True
        elif len(row) == len(header):
            self.good += 1
            self.end.see("", row[-1])
            return dict(zip(header, row, strict=True))
        else:
            self.log.broken += 1
        return None

    def block(self, reader: Columnar, header: Sequence[str], data: bytes) -> Block | None:
        """Take the rows in whole lines. None if they have to be read one by one."""
        last = [line.split(self.separator) for line in data[-TAIL:].decode(errors="replace").splitlines()[1:]]
        whole = [row[-1] for row in last if len(row) == len(header)]
        block = reader.block(data) if len(whole) >= ALIKE else None
        if block is None:
            return None
        for cell in whole[-ALIKE:]:
            self.end.see("", cell.strip('"'))
        if not self.lines.complete:
            self.end.exponents |= re.search(rb"[eE][^\n%b]*\n" % re.escape(self.separator.encode()), data) is not None
        self.lines.take(data)
        self.good += block.count
        self.log.broken += reader.broken
        return block

    def close(self) -> None:
        """Raise Unreadable if most lines were not rows."""
        good, broken = self.good, self.log.broken
        if self.separator == " " and not good:
            raise Unreadable(NO_HEADER)
        if broken > good:
            raise Unreadable(f"{broken} of its {broken + good} lines do not fit its first line")


@functools.lru_cache(8)
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
