"""Reads the members of a tar file as a stream: POSIX ustar and pax, and GNU with long names.

The module `tarfile` holds headers of any size, calls itself for each of them, and reads on to a stated size after the
end of the file. Here a header is bounded, and a size that is false ends in an OSError.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import attrs

from shapeflow.base.files import open_regular

BLOCK, CHUNK = 512, 1 << 18
HEADER = 1 << 20
"""The most bytes of a long name, or of the pax records before a member."""
REGULAR, BARE = frozenset(b"0\x007"), frozenset(b"123456")
"""Types of files, and of members without data: links, devices, folders, pipes. Others have data that is skipped."""
OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""First bytes -> what unpacks the file."""


@attrs.frozen
class Member:
    """A file in a tar file."""

    name: str
    size: int
    """Bytes, as stated."""
    sparse: bool
    """Whether it is stored without its holes: its data is then not its content."""
    read: Callable[[], bytes]
    """Reads the content. To be called before the next member is asked for."""


def opened(path: Path) -> IO[bytes]:
    """The unpacked bytes of a file. Raises OSError."""
    with open_regular(path) as file:
        first = file.read(8)
    opener = next((each for mark, each in OPENERS.items() if first.startswith(mark)), None)
    return open_regular(path) if opener is None else opener(path)


def members(file: IO[bytes]) -> Iterator[Member]:
    """The files of a tar file; links, folders and devices are left out. Raises OSError for a file that is not a tar
    file or is truncated."""
    stated: dict[bytes, bytes] = {}
    """What the headers before a member state about it."""
    while any(header := _exactly(file, BLOCK, "a header")):
        kind, size = header[156], _size(header)
        if kind in b"xLK":
            held = _held(file, size)
            stated |= _records(held) if kind == ord("x") else {b"path": held.rstrip(b"\0")} if kind == ord("L") else {}
            continue
        sparse = kind == ord("S") or any(key.startswith(b"GNU.sparse.") for key in stated)
        if kind == ord("S"):
            _skip_map(file, header)
        if b"size" in stated:
            size = _number(stated[b"size"], 10)
        rest = _Rest(file, 0 if kind in BARE else size)
        if sparse or kind in REGULAR:
            name = stated.get(b"GNU.sparse.name", stated.get(b"path", header[:100].rstrip(b"\0")))
            if not name.endswith(b"/"):
                yield Member(name.decode("utf-8", "replace"), size, sparse, rest.read)
        rest.skip()
        stated = {}


class _Rest:
    """What is left of the data of a member."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left, self._size = file, size + -size % BLOCK, size

    def read(self) -> bytes:
        data = _exactly(self._file, self._size, "a member")
        self._left -= self._size
        return data

    def skip(self) -> None:
        while self._left:
            self._left -= len(_exactly(self._file, min(CHUNK, self._left), "a member"))


def _exactly(file: IO[bytes], size: int, what: str) -> bytes:
    """The next bytes. Raises OSError if there are fewer."""
    data = file.read(size)
    if len(data) < size:
        raise OSError(f"it ends within {what}, or is not a tar file")
    return data


def _held(file: IO[bytes], size: int) -> bytes:
    """The data of a header. Raises OSError."""
    if size > HEADER:
        raise OSError(f"a header has {size:,} bytes, more than {HEADER:,}")
    return _exactly(file, size + -size % BLOCK, "a header")[:size]


def _size(header: bytes) -> int:
    """The size that a header states. Raises OSError for a broken header."""
    check = _number(header[148:156], 8)
    if check != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise OSError("a header is broken, or it is not a tar file")
    field = header[124:136]
    # GNU: a number of more than 8 GiB is binary.
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _number(field, 8)


def _number(text: bytes, base: int) -> int:
    digits = text.strip(b" \0")
    if len(digits) > 20 or not all(48 <= digit < 48 + base for digit in digits):
        raise OSError("a header is broken: it states a size that is not a number")
    return int(digits or b"0", base)


def _records(held: bytes) -> dict[bytes, bytes]:
    """The pax records of a header: `LENGTH KEY=VALUE` and the end of the line. Raises OSError."""
    found, at = dict[bytes, bytes](), 0
    while at < len(held):
        space = held.find(b" ", at, at + 20)
        length = _number(held[at:space], 10) if space > 0 else 0
        key, equals, value = held[space + 1 : at + length - 1].partition(b"=")
        if not equals or not 0 < length <= len(held) - at:
            raise OSError("a header is broken: a pax record does not have its stated length")
        found[key] = value
        at += length
    return found


def _skip_map(file: IO[bytes], header: bytes) -> None:
    """Skip the blocks that say where the data of a sparse file is."""
    more = header[482]
    while more:
        more = _exactly(file, BLOCK, "a header")[504]
