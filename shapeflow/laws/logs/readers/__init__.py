"""Readers of log formats, one module per format. The first bytes of a file determine its format. If they are not
conclusive, the file name decides.

A reader is a function `rows(log) -> Iterator[Row]`. It streams the file at `log.path`, fills in the facts of `log`, and
raises Unreadable for a file that it cannot read. A reader does not open other files, does not trust any length that the
file states, and keeps at most a row, a line or a block of the file in memory; only JSON documents, whose size is
limited, are read as a whole. A file that matches a format only by name must still be valid content of that format.
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
"""Number of bytes that are read to detect the format of a file."""
LINES = (".jsonl", ".ndjson")
"""Suffixes of JSON lines files. Such a file is JSON lines even if its first line is damaged."""
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@attrs.frozen
class Format:
    """A log format."""

    name: str
    rows: Callable[[Log], Iterator[Row]]
    uniform: bool = False
    """Whether all rows have the same columns."""


CSV = Format("CSV", delimited.rows, uniform=True)
TSV = Format("TSV", delimited.rows, uniform=True)
JSON_LINES = Format("JSON lines", json_lines.rows)
JSON = Format("JSON", document.rows)
TRAINER_STATE = Format("Hugging Face trainer state", trainer_state.rows)
PARQUET = Format("parquet", parquet.rows, uniform=True)
TENSORBOARD = Format("TensorBoard events", tensorboard.rows)


def open_log(path: Path) -> Log:
    """Return the log at a path, ready to be read. Raises Unreadable if the file cannot be opened, or if it is
    compressed or UTF-16 text."""
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
    """Return whether a file name is valid text. Python decodes invalid bytes in names as surrogates, which do not
    encode."""
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
    # A document with columns as lists may also be a single line.
    alone = one is not None and not rest.strip() and any(isinstance(cell, list) for cell in one.values())
    return JSON if one is None or alone else JSON_LINES
