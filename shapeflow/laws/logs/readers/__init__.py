"""Readers of log formats, one module per format. The first bytes of a file determine its format. If they are not
conclusive, the file name decides.

A reader is a function `rows(log) -> Iterator[Row]`. It streams the file at `log.path`, fills in the facts of `log`, and
raises Unreadable for a file that it cannot read. A reader does not open other files, does not trust any length that the
file states, and keeps at most a row, a line or a block of the file in memory; only JSON documents, whose size is
limited, are read as a whole. A file that matches a format only by name must still be valid content of that format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from shapeflow.laws.logs.readers import (
    delimited,
    document,
    json_lines,
    mlflow,
    nested,
    parquet,
    plain_text,
    tensorboard,
    text_log,
    trainer_state,
)  # fmt: skip
from shapeflow.laws.logs.readers.block import Block, Wanted
from shapeflow.laws.logs.readers.cells import number, same
from shapeflow.laws.logs.readers.log import Log, MissingExtra, Piece, Row, Unreadable
from shapeflow.laws.logs.readers.numerals import Numerals

__all__ = [
    "PARTS", "TENSORBOARD", "TRAINER_STATE", "Block", "Log", "MissingExtra", "Numerals", "Piece", "Row", "Unreadable",
    "Wanted", "number", "open_log", "same",
]  # fmt: skip

HEAD = 1 << 16
"""Number of bytes that are read to detect the format of a file."""
FURTHER = 1 << 20
"""Number of bytes after these that are searched for lines that trainers print."""
EVEN = 8
"""Number of lines that are compared with the first one to tell a table from other text."""
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
    pieces: Callable[[Log, Wanted | None], Iterator[Piece]] | None = None
    """The same reader for many rows at once."""


CSV = Format("CSV", delimited.rows, uniform=True, pieces=delimited.pieces)
TSV = Format("TSV", delimited.rows, uniform=True, pieces=delimited.pieces)
JSON_LINES = Format("JSON lines", json_lines.rows, pieces=json_lines.pieces)
JSON = Format("JSON", document.rows)
TRAINER_STATE = Format("Hugging Face trainer state", trainer_state.rows)
PARQUET = Format("parquet", parquet.rows, uniform=True)
TENSORBOARD = Format("TensorBoard events", tensorboard.rows)
TEXT = Format("text", text_log.rows)
PLAIN = Format("text", plain_text.rows)
MLFLOW = Format("MLflow metric", mlflow.rows)
OTHER = Format("table", delimited.rows, uniform=True, pieces=delimited.pieces)
SEPARATED = {",": CSV, "\t": TSV}
LIST = re.compile(rb"\[\s*(?:[\[{\"\]]|-?\d[\d.eE+-]*\s*,|$)")
"""How a list of JSON values begins that may be measurements. A line of text may begin with `[INFO]` or `[rank0]`."""
PARTS = (TENSORBOARD.name, MLFLOW.name)
"""Formats in which several files with different columns are the log of one run."""


def open_log(path: Path, numerals: Numerals = "plain", whole: bool = False) -> Log:
    """Return the log at a path, ready to be read. Raises Unreadable if the file cannot be opened, or if it is
    compressed or UTF-16 text. `whole`: objects within those of JSON lines stay as they are."""
    if not _is_text(str(path)):
        raise Unreadable("its name is not UTF-8 text, so a law could not record it; rename it")
    try:
        if not path.is_file():
            raise Unreadable("it is not a file")
        with path.open("rb") as file:
            head = file.read(HEAD)
            found = _format(head, path)
            # The log of a script that prints itself begins with its source. Lines of measurements may be even, too.
            if (found in (CSV, TSV, OTHER) and not _is_table(head)) or head.lstrip().startswith(b"{'"):
                found = _text(head + file.read(FURTHER)) or found
    except OSError as error:
        raise Unreadable((error.strerror or "it cannot be opened").lower()) from None
    rows = json_lines.objects if whole and found is JSON_LINES else found.rows
    pieces = None if rows is json_lines.objects else found.pieces
    log = Log(path, found.name, rows, found.uniform, numerals, pieces)
    if found is TENSORBOARD:
        log.run_folder = path.parent
    elif found is MLFLOW and (metrics := mlflow.folder_of(path)) is not None:
        log.run_folder = metrics.parent
    return log


def _is_table(head: bytes) -> bool:
    """Return whether the first lines are those of a table, and not of measurements that are as even."""
    lines = head.lstrip().splitlines()[: 2 * EVEN]
    return _even(head) and not text_log.looks_so(lines[0]) and not plain_text.looks_so(b"\n".join(lines))


def _text(head: bytes) -> Format | None:
    """Return the format of lines of text; None if they hold no measurements."""
    if text_log.looks_so(head):
        return TEXT
    return PLAIN if plain_text.looks_so(head) else None


def _is_text(name: str) -> bool:
    """Return whether a file name is valid text. Python decodes invalid bytes in names as surrogates, which do not
    encode."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _format(head: bytes, path: Path) -> Format:
    name = path.name
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
    if (text.startswith(b"{") or LIST.match(text)) and not text_log.looks_so(text.partition(b"\n")[0]):
        return _json(text, name)
    first = text.partition(b"\n")[0].decode(errors="replace")
    if mlflow.is_metric(path, first):
        return MLFLOW
    return SEPARATED.get(delimited.delimiter(first), OTHER)


def _even(head: bytes) -> bool:
    """Return whether the first lines have the same number of cells, as those of a table. Two lines of source may:
    `import os`, `import sys`."""
    lines = [line for line in head.decode(errors="replace").splitlines()[: EVEN + 1] if line.strip()][:EVEN]
    counts = {delimited.count(line, delimited.delimiter(lines[0])) for line in lines}
    return len(lines) > 1 and len(counts) == 1 and max(counts) > 1


def _json(text: bytes, name: str) -> Format:
    if f'"{trainer_state.KEY}"'.encode() in text:
        return TRAINER_STATE
    if name.endswith(LINES):
        return JSON_LINES
    first, _, rest = text.partition(b"\n")
    one = json_lines.parsed(first.decode(errors="replace"))
    # A document with columns as lists may also be a single line.
    lists = one is not None and any(isinstance(cell, list) for cell in one.values())
    alone = one is not None and not rest.strip() and (lists or nested.rows_in(one) is not None)
    return JSON if one is None or alone else JSON_LINES
