"""What the compressed buffers of an Arrow stream unpack to, by the lengths that they state.

A compressed buffer begins with its length, and a reader allocates that much before it unpacks anything. pyarrow gives
no access to these lengths, so that the table of buffers is read here from the metadata of each message, which is a
FlatBuffers table.

Source: https://arrow.apache.org/docs/format/Columnar.html, and `Message.fbs` of the same project.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs

_DICTIONARY, _BATCH = 2, 3
"""Types of the header of a message."""
_PREFIX = struct.Struct("<q")
_PLAIN = -1
"""The stated length of a buffer in a compressed batch that is not compressed itself."""


@attrs.frozen
class Unpacked:
    """What the buffers of one batch unpack to in bytes: together, and the largest. 0 if it is not compressed."""

    size: int
    buffer: int


def batches(messages: Any) -> Iterator[Unpacked]:
    """Yield the sizes of each batch of rows and of each dictionary. `messages`: a `pyarrow.ipc.MessageReader`.

    Raises ValueError for a table of buffers that is not well formed, and the errors of pyarrow."""
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        try:
            found = _unpacked(memoryview(message.metadata), message.body)
        except (struct.error, IndexError) as error:
            raise ValueError(f"a table of its buffers is broken: {error}") from error
        if found is not None:
            yield found


def _unpacked(metadata: memoryview, body: Any) -> Unpacked | None:
    """The sizes of a message; None if it holds no rows."""
    root = _Table.at(metadata, 0)
    kind, header = root.byte(1), root.table(2)
    if kind not in (_DICTIONARY, _BATCH) or header is None:
        return None
    batch = header.table(1) if kind == _DICTIONARY else header
    if batch is None or batch.table(3) is None:
        return Unpacked(0, 0)
    held = memoryview(body) if body is not None else memoryview(b"")
    sizes = [_length(held, offset, size) for offset, size in batch.pairs(2) if size]
    return Unpacked(sum(sizes), max(sizes, default=0))


def _length(body: memoryview, offset: int, size: int) -> int:
    """The bytes that a buffer unpacks to."""
    if offset < 0 or size < _PREFIX.size or offset + size > len(body):
        raise ValueError(f"a buffer has {size} bytes at {offset}, and its message {len(body)}")
    (stated,) = _PREFIX.unpack_from(body, offset)
    if stated == _PLAIN:
        return size - _PREFIX.size
    if stated < 0:
        raise ValueError(f"a buffer states that it unpacks to {stated} bytes")
    return int(stated)


@attrs.frozen
class _Table:
    """A FlatBuffers table: its fields are found by the offsets in its vtable."""

    data: memoryview
    place: int
    vtable: int

    @classmethod
    def at(cls, data: memoryview, pointer: int) -> _Table:
        """The table that an offset at `pointer` refers to."""
        place = pointer + struct.unpack_from("<I", data, pointer)[0]
        return cls(data, place, place - struct.unpack_from("<i", data, place)[0])

    def _field(self, number: int) -> int | None:
        """Where a field is; None if it is absent."""
        entry = 4 + 2 * number
        if self.vtable < 0 or entry + 2 > struct.unpack_from("<H", self.data, self.vtable)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, self.vtable + entry)[0]
        return self.place + offset if offset else None

    def byte(self, number: int) -> int:
        place = self._field(number)
        return 0 if place is None else self.data[place]

    def table(self, number: int) -> _Table | None:
        place = self._field(number)
        return None if place is None else _Table.at(self.data, place)

    def pairs(self, number: int) -> Iterator[tuple[int, int]]:
        """The elements of a vector of structs of two long integers."""
        if (place := self._field(number)) is None:
            return
        start = place + struct.unpack_from("<I", self.data, place)[0]
        (count,) = struct.unpack_from("<I", self.data, start)
        for at in range(count):
            yield struct.unpack_from("<qq", self.data, start + 4 + 16 * at)
