"""Read lines of text from an untrusted file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import attrs
import numpy as np

from shapeflow.laws.logs.readers.log import Log, Unreadable

LONGEST = 1 << 20
"""Maximum length of a line in bytes. A file with a longer line is not a log."""
FIRST, BLOCK = 1 << 18, 8 << 20
"""Number of bytes of the lines that are taken at once: at first, when little is known of them, and later."""


@attrs.define
class Lines:
    """Iterates over the lines of a log that are not blank, without their line ends. Sets `log.torn` if the last line is
    incomplete and not valid text. Raises Unreadable for other invalid text and for a line that is too long.

    While it is iterated over, the next lines may be looked at (`ahead`) and taken (`take`) as a block of bytes. The
    iteration then goes on after them.
    """

    log: Log
    ended: bool = True
    """Whether the last line that was read had a line end."""
    text: str = ""
    """The last line that was read."""
    at: int = 0
    """The number of bytes that were read."""
    _file: BinaryIO | None = None
    _digest: Any = attrs.field(factory=hashlib.sha256)
    _count: int = 0
    _complete: bool | None = None

    def __iter__(self) -> Iterator[str]:
        with self.log.path.open("rb") as self._file:
            begun = False
            while raw := self._file.readline(LONGEST):
                self._see(raw, 1)
                self.ended = raw.endswith(b"\n")
                text = _text(raw)
                if text is None and begun and not self.ended and len(raw) < LONGEST:
                    self.log.torn = True
                    break
                if text is None or (len(raw) == LONGEST and not self.ended):
                    why = "is not text" if text is None else f"is longer than {LONGEST >> 20} MiB"
                    raise Unreadable(f"its line {self._count} {why}")
                if text.strip():
                    begun, self.text = True, text
                    yield text
        self.log.sha256 = self._digest.hexdigest()

    @property
    def complete(self) -> bool:
        """Whether the last line of the file has a line end."""
        if self._complete is None:
            assert self._file is not None
            self._file.seek(max(self.at, self._file.seek(0, os.SEEK_END) - 1))
            self._complete = self._file.read(1) in (b"\n", b"")
            self._file.seek(self.at)
        return self._complete

    def ahead(self, small: bool = False) -> bytes:
        """Return the next lines that have line ends, `FIRST` or `BLOCK` bytes of them or a little more. Empty at the
        end of the file, and before a line that is too long. `small`: whether to return no more than `FIRST`."""
        if self._file is None or self._file.closed:
            return b""
        data = self._file.read(BLOCK if self.at >= FIRST and not small else FIRST)
        if not data.endswith(b"\n"):
            data += self._file.readline(LONGEST)
        self._file.seek(self.at)
        return data[: data.rfind(b"\n") + 1]

    def take(self, data: bytes) -> None:
        """Take lines that were looked at."""
        assert self._file is not None
        self._file.seek(self.at + len(data))
        # Many times as fast as `data.count`.
        self._see(data, int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n"))))
        self.ended = True

    def _see(self, data: bytes, count: int) -> None:
        self._digest.update(data)
        self.at += len(data)
        self._count += count


def _text(raw: bytes) -> str | None:
    if b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return None
