"""Reads documents from text files, folders and JSON lines; `tables` and `shards` read other formats.

Sources are read in the given order, and the files of a folder in the order of their paths.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from shapeflow.base.bounds import bound
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular
from shapeflow.base.walk import Entries
from shapeflow.tokenize.pieces import Piece, Tally, document, in_pieces
from shapeflow.tokenize.shards import shard
from shapeflow.tokenize.tables import is_saved, parquet, saved, saved_files

CHUNK = 1 << 18

Unpacked = gzip.GzipFile | io.BufferedReader


@attrs.frozen
class Choice:
    """Which parts of the sources are read."""

    column: str = "text"
    """The field that holds the text."""
    files: str = "*"
    """The files of a folder that are read, as a glob pattern."""


@attrs.frozen
class File:
    """One file to read, or one folder of `datasets`; `size` in bytes."""

    path: Path
    size: int


def found(sources: Sequence[Path], choice: Choice) -> list[File]:
    """The files of the sources. Checks that all exist before anything is read. Raises Refused `cannot-read`,
    `no-text`."""
    files: list[File] = []
    for source in sources:
        try:
            if is_saved(source):
                files.append(File(source, sum(path.stat().st_size for path in saved_files(source))))
            elif source.is_dir():
                files += [File(path, path.stat().st_size) for path in _below(source, choice.files)]
            elif not stat.S_ISREG((status := source.stat()).st_mode):
                # A text is read twice, and a pipe may never be written to.
                raise cannot_read(source, "it is not a regular file")
            else:
                files.append(File(source, status.st_size))
        except OSError as error:
            raise cannot_read(source, (error.strerror or str(error)).lower()) from error
    return files


def _below(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder in the order of their paths; hidden files are skipped."""
    entries = Entries(str(folder), "data")
    below = sorted(
        path.relative_to(folder).as_posix() for path in entries.each(folder.rglob(pattern)) if path.is_file()
    )
    return [folder / name for name in below if not any(part.startswith(".") for part in name.split("/"))]


def stream(files: Sequence[File], choice: Choice, tally: Tally) -> Iterator[Piece]:
    """The documents of all files. Raises Refused `cannot-read`, `missing-column`, `missing-extra`."""
    done = 0
    for file in files:
        try:
            yield from _read(file, choice, tally)
        except (OSError, EOFError, zlib.error) as error:
            said = getattr(error, "strerror", None)
            raise cannot_read(file.path, said.lower() if said else str(error)) from error
        done += file.size
        tally.seen = done


def _read(file: File, choice: Choice, tally: Tally) -> Iterator[Piece]:
    name = file.path.name.lower()
    if file.path.is_dir():
        yield from saved(file.path, choice.column, tally)
    elif name.endswith(".parquet"):
        yield from parquet(file.path, choice.column, tally)
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        yield from shard(file.path, tally)
    elif name.endswith((".jsonl", ".jsonl.gz", ".ndjson")):
        yield from _lines(file.path, choice.column, tally)
    else:
        yield from _text(file.path, tally)


def _text(path: Path, tally: Tally) -> Iterator[Piece]:
    """The document in a text file."""
    with _opened(path) as file:
        if not _is_utf8(file):
            tally.drop("not UTF-8 text")
            return
    empty = True
    with _opened(path) as file:
        reader = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        for piece in in_pieces(iter(lambda: _counted(reader.read(CHUNK), tally), "")):
            empty = False
            yield piece
    if empty:
        tally.drop("empty")


def _counted(text: str, tally: Tally) -> str:
    tally.seen += len(text)
    return text


def _is_utf8(file: Unpacked) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _lines(path: Path, column: str, tally: Tally) -> Iterator[Piece]:
    """The documents in a file of JSON lines, one per line."""
    with _opened(path) as file:
        most, blank = bound("SHAPEFLOW_MOST_DOCUMENT_BYTES"), False
        while line := file.readline(most + 1):
            if len(line) > most:
                raise OSError(f"a line has more than {most:,} bytes: set `SHAPEFLOW_MOST_DOCUMENT_BYTES` to read it")
            tally.seen += len(line)
            before, blank = blank, not line.strip()
            if blank:
                # A small file can unpack to many blank lines: after two, the others are skipped together.
                tally.seen += _skip_blank(file) if before else 0
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                tally.drop("line is not JSON")
                continue
            if not isinstance(value, dict) or column not in value:
                tally.drop(f"line without `{column}`")
                continue
            yield from document(value[column], tally)


def _skip_blank(file: Unpacked) -> int:
    """Skip the blank lines at the position of a file. Returns the number of bytes that were skipped. Raises as reading
    does."""
    skipped = 0
    while ahead := file.peek(CHUNK):
        lines = ahead.rfind(b"\n", 0, len(ahead) - len(ahead.lstrip())) + 1
        if not lines:
            break
        skipped += len(file.read(lines))
    return skipped


def _opened(path: Path) -> Unpacked:
    return gzip.open(path) if path.suffix == ".gz" else open_regular(path)


def cannot_read(path: Path, reason: str) -> Refused:
    """The diagnostic for a source that cannot be read to its end."""
    help_ = "download it first: `tokenize` does not fetch anything" if ":/" in str(path) else None
    return Refused(Diagnostic("cannot-read", f"`{path}` cannot be read", place=str(path), notes=(reason,), help=help_))
