"""The messages that an editor sends: their bounds, and what is said of one that cannot be handled."""

from __future__ import annotations

import logging
import re
from typing import BinaryIO

from shapeflow.base.bounds import above
from shapeflow.base.safe import safe

LINE = 1_024
"""Most bytes of a header line."""
_LENGTH = re.compile(rb"Content-Length: *(\d+)", re.IGNORECASE)


class Messages:
    """The input of a language server. It ends before a message that is too long to be held in memory. `wrong`: why it
    ended; None if the editor ended it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.wrong: str | None = None

    def readline(self) -> bytes:
        line = self._stream.readline(LINE + 1)
        if len(line) > LINE:
            self.wrong = f"a header line has more than {LINE:,} bytes"
        elif (length := _LENGTH.match(line)) is not None:
            self.wrong = above("SHAPEFLOW_MOST_TEXT_BYTES", "a message", int(length[1]), "bytes")
        return b"" if self.wrong is not None else line

    def read(self, count: int) -> bytes:
        return self._stream.read(count)


class OneLine(logging.Formatter):
    """What the server reports on stderr: one line, without a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage().strip()
        if record.exc_info and (error := record.exc_info[1]) is not None:
            said = f"{said.partition(chr(10))[0]}: {type(error).__name__}: {error}"
        elif "Traceback" in said:
            first, *_, last = said.splitlines()
            said = f"{first}: {last}"
        return f"shapeflow lsp: {safe(said.partition(chr(10))[0])[:500]}"
