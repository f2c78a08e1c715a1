"""What the pages of a parquet file unpack to, by the headers of the pages.

The footer of a file states sizes too, but its readers do not compare them with the pages: a page unpacks to what its
own header says, and only the header bounds the memory that it takes. Both are Thrift structs in the compact protocol.
They are read here, since pyarrow gives no access to the headers, and aborts the process at a broken footer.

Source: https://github.com/apache/parquet-format, `parquet.thrift`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.files import open_regular

FOOTER = 1 << 23
"""The most bytes of a footer."""
HEADER = 1 << 24
"""The most bytes of the header of a page, as in pyarrow; it may hold the statistics of the page."""
PAGES = 1 << 17
"""The most pages of a file. Writers make pages of about 1 MiB."""
DEPTH = 32
"""How deep structs and lists may be nested."""


@attrs.frozen
class Group:
    """A group of rows: the bytes that its pages unpack to, together and the largest."""

    size: int
    page: int


def groups(path: Path, columns: Collection[str] | None = None) -> list[Group]:
    """The groups of rows of a file, each with the pages of the columns of these names, or of all.

    Raises OSError, and ValueError for a file that is not well formed or has too many pages."""
    found, count = [], 0
    with open_regular(path) as file:
        for group in _chunks(file.fileno()):
            sizes: list[int] = []
            for chunk in group:
                if columns is None or chunk.column in columns:
                    sizes += _sizes(file.fileno(), chunk, PAGES - count - len(sizes))
            count += len(sizes)
            found.append(Group(sum(sizes), max(sizes, default=0)))
    return found


@attrs.frozen
class _Chunk:
    """The pages of one column in one group of rows, from byte `start` to `end`; `values` that they hold."""

    column: str
    start: int
    end: int
    values: int


def _chunks(file: int) -> list[list[_Chunk]]:
    """The chunks of every group of rows, as the footer lists them."""
    size = os.fstat(file).st_size
    length = int.from_bytes(os.pread(file, 4, max(0, size - 8)), "little")
    if length > min(FOOTER, size - 8):
        raise ValueError(f"its footer has {length:,} bytes")
    try:
        footer = _Compact(os.pread(file, length, size - 8 - length)).struct()
        return [[_chunk(column[3]) for column in group[1]] for group in footer[4]]
    except (AttributeError, EOFError, LookupError, TypeError) as error:
        raise ValueError("its footer does not list its pages") from error


def _chunk(about: dict[int, Any]) -> _Chunk:
    """A chunk by its ColumnMetaData. Raises AttributeError, LookupError, TypeError, ValueError."""
    data, dictionary = about[9], about.get(11, 0)
    start = dictionary if 0 < dictionary < data else data
    if min(start, about[5], about[7]) < 0:
        raise ValueError("its footer has a size below 0")
    return _Chunk(about[3][0].decode(), start, start + about[7], about[5])


def _sizes(file: int, chunk: _Chunk, most: int) -> list[int]:
    """What each page of a chunk unpacks to. Ends as pyarrow does: when all values are seen."""
    sizes: list[int] = []
    at, seen = chunk.start, 0
    while at < chunk.end and seen < chunk.values:
        header, length = _header(file, at)
        packed, own = header.get(3), header.get(2)
        if not (isinstance(packed, int) and isinstance(own, int)) or min(packed, own) < 0:
            raise ValueError("a page has no size")
        if len(sizes) == most:
            raise ValueError(f"it has more than {PAGES:,} pages")
        about = header.get(5) or header.get(8)
        if isinstance(about, dict) and isinstance(about.get(1), int):
            seen += max(0, about[1])
        at += length + packed
        sizes.append(own)
    return sizes


def _header(file: int, at: int) -> tuple[dict[int, Any], int]:
    """The header of the page at a place of a file, and its length in bytes."""
    room = 1 << 8
    while True:
        reader = _Compact(data := os.pread(file, room, at))
        try:
            return reader.struct(), reader.at
        except EOFError:
            if len(data) < room or room >= HEADER:
                raise ValueError("the header of a page has no end") from None
            room <<= 4


@attrs.define
class _Compact:
    """Reads values in Thrift's compact protocol. Raises EOFError where the data end, a ValueError otherwise."""

    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise EOFError
        self.at += size
        return self.data[self.at - size : self.at]

    def natural(self) -> int:
        found = shift = 0
        while True:
            byte = self.take(1)[0]
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 63:
                raise ValueError("a number has no end")

    def integer(self) -> int:
        found = self.natural()
        return (found >> 1) ^ -(found & 1)

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields by their numbers."""
        fields: dict[int, Any] = {}
        number = 0
        while byte := self.take(1)[0]:
            step, kind = byte >> 4, byte & 15
            number = number + step if step else self.integer()
            fields[number] = kind == 1 if kind in (1, 2) else self.value(kind, depth + 1)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        """A value of a kind: a number, bytes, a list or a struct. What no caller needs is read and not kept."""
        if depth > DEPTH:
            raise ValueError("it is nested too deep")
        if kind in (4, 5, 6):
            return self.integer()
        if kind == 8:
            return self.take(self.natural())
        if kind in (9, 10):
            head = self.take(1)[0]
            count = head >> 4 if head < 240 else self.natural()
            return [self.value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth)
        if kind in (1, 2, 3, 7):
            return self.take(8 if kind == 7 else 1)
        if kind == 11 and not self.natural():
            return None
        raise ValueError("it has a value of an unknown kind")
