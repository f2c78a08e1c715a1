"""Readers of logs, one file a format. What a file is, is told by its first bytes; its name decides where they do not.

A reader is a function `rows(log) -> Iterator[Row]` that streams the file at `log.path`, fills in the facts of `log`,
and raises Unreadable for what it cannot read. It opens nothing else, trusts no length that the file states, and keeps
no more than a row, a line or a block of the file in memory. Nothing is taken to be a log because of its name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from shapeflow.laws.logs.readers import delimited, document, json_lines, parquet, tensorboard, trainer_state
from shapeflow.laws.logs.readers.cells import number, same
from shapeflow.laws.logs.readers.log import Log, MissingExtra, Row, Unreadable

__all__ = ["TENSORBOARD", "TRAINER_STATE", "Log", "MissingExtra", "Row", "Unreadable", "number", "open_log", "same"]

HEAD = 1 << 16
"""Bytes that are looked at to tell a file's format."""
LINES = (".jsonl", ".ndjson")
"""Names that end so are of JSON lines, also where the first line is damaged."""
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@attrs.frozen
class Format:
    """A kind of log."""

    name: str
    rows: Callable[[Log], Iterator[Row]]
    uniform: bool = False
    """Has every row the columns of the first?"""


CSV = Format("CSV", delimited.rows, uniform=True)
TSV = Format("TSV", delimited.rows, uniform=True)
JSON_LINES = Format("JSON lines", json_lines.rows)
JSON = Format("JSON", document.rows)
TRAINER_STATE = Format("Hugging Face trainer state", trainer_state.rows)
PARQUET = Format("parquet", parquet.rows, uniform=True)
TENSORBOARD = Format("TensorBoard events", tensorboard.rows)


def open_log(path: Path) -> Log:
    """The log at a path, ready to be read. Raises Unreadable where nothing can be opened or no format fits."""
    if not _is_text(str(path)):
        raise Unreadable("its name is not UTF-8 text, so a law could not record it; rename it")
    try:
        if not path.is_file():
            raise Unreadable("it is not a file")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise Unreadable((error.strerror or "it cannot be opened").lower()) from None
    found = _format(head, path.name)
    return Log(path, found.name, found.rows, found.uniform)


def _is_text(name: str) -> bool:
    """Python reads bytes of a name that are no text as halves of characters."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _format(head: bytes, name: str) -> Format:
    if head.startswith(parquet.MAGIC) or (name.endswith(".parquet") and head):
        return PARQUET
    if tensorboard.FIRST in head[:64] or (".tfevents." in name and head):
        return TENSORBOARD
    for magic, packer in PACKED.items():
        if head.startswith(magic):
            raise Unreadable(f"it is packed by {packer}; unpack it first")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("it is text in UTF-16; save it as UTF-8")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        return _json(text, name)
    first = text.partition(b"\n")[0].decode(errors="replace")
    return TSV if delimited.delimiter(first) == "\t" else CSV


def _json(text: bytes, name: str) -> Format:
    if f'"{trainer_state.KEY}"'.encode() in text:
        return TRAINER_STATE
    if name.endswith(LINES):
        return JSON_LINES
    first, _, rest = text.partition(b"\n")
    one = json_lines.parsed(first.decode(errors="replace"))
    # Columns as lists may stand in one line, too.
    alone = one is not None and not rest.strip() and any(isinstance(cell, list) for cell in one.values())
    return JSON if one is None or alone else JSON_LINES
