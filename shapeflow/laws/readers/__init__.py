"""Readers of logs, one file a format. What a file is, is told by its first bytes; its name decides where they do not.

A reader is a function `rows(log) -> Iterator[Row]` that streams the file at `log.path`, fills in the facts of `log`,
and raises Unreadable for what it cannot read. It opens nothing else, trusts no length that the file states, and keeps
no more than a row, a line or a block of the file in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from shapeflow.laws.readers import delimited, json_lines
from shapeflow.laws.readers.cells import number, same
from shapeflow.laws.readers.log import Log, Row, Unreadable

__all__ = ["Log", "Row", "Unreadable", "number", "open_log", "same"]

HEAD = 1 << 16
"""Bytes that are looked at to tell a file's format."""


def open_log(path: Path) -> Log:
    """The log at a path, ready to be read. Raises Unreadable where nothing can be opened or no format fits."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise Unreadable(error.strerror or "it cannot be opened") from None
    format, read = _format(head)
    return Log(path, format, read)


def _format(head: bytes) -> tuple[str, Callable[[Log], Iterator[Row]]]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "JSON lines", json_lines.rows
    first = text.partition(b"\n")[0].decode(errors="replace")
    return ("TSV" if delimited.delimiter(first) == "\t" else "CSV"), delimited.rows
