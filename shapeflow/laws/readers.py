"""Rows out of log files: CSV and JSON-lines, line by line, without trusting them."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

LONGEST = 1 << 20
"""Bytes of a line; a longer one is no log."""

Row = Mapping[str, Any]


class Unreadable(Exception):  # noqa: N818 - a fact about a file, told as a diagnostic
    """A file that is no log; the text says why."""


@attrs.define
class LogFile:
    """One file, read once; the facts about it are whole when `rows()` has ended."""

    path: Path
    sha256: str = ""
    torn: bool = False
    """Was the last line cut off (and left out)?"""
    broken: int = 0
    """Lines inside the file that are no rows."""
    _ended: bool = True

    def rows(self) -> Iterator[Row]:
        """The rows, streamed. Raises Unreadable for a file that is no log, or cannot be opened."""
        digest = hashlib.sha256()
        lines = self._lines(digest)
        first = next(lines, None)
        if first is not None:
            read = self._json if first.lstrip().startswith("{") else self._csv
            yield from read(first, lines)
        self.sha256 = digest.hexdigest()

    def _lines(self, digest: Any) -> Iterator[str]:
        """Lines that are not blank, without their ends; a last line that is no text counts as torn."""
        try:
            with self.path.open("rb") as file:
                begun = False
                while raw := file.readline(LONGEST):
                    digest.update(raw)
                    self._ended = raw.endswith(b"\n")
                    text = _text(raw)
                    if text is None and begun and not self._ended and len(raw) < LONGEST:
                        self.torn = True
                        return
                    if text is None or (len(raw) == LONGEST and not self._ended):
                        raise Unreadable("it is no text")
                    if text.strip():
                        begun = True
                        yield text
        except OSError as error:
            raise Unreadable(error.strerror or "it cannot be opened") from None

    def _json(self, first: str, lines: Iterator[str]) -> Iterator[Row]:
        def parsed(line: str) -> Row | None:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            return row if isinstance(row, dict) else None

        row = parsed(first)
        if row is None and self._ended:
            raise Unreadable("its first line is no JSON object")
        for line in _chain(first, lines):
            row = parsed(line)
            if row is not None:
                yield row
            elif self._ended:
                self.broken += 1
            else:
                self.torn = True

    def _csv(self, first: str, lines: Iterator[str]) -> Iterator[Row]:
        delimiter = "\t" if first.count("\t") > first.count(",") else ","
        rows = csv.reader(_chain(first, lines), delimiter=delimiter)
        try:
            header = [name.strip() for name in next(rows)]
            if len(header) < 2:
                raise Unreadable("its first line is no header of columns parted by commas or tabs")
            for cells in rows:
                # A number that was cut off still is a number: without its line's end a row is not to be trusted.
                if not self._ended:
                    self.torn = True
                elif len(cells) == len(header):
                    yield dict(zip(header, cells, strict=True))
                else:
                    self.broken += 1
        except csv.Error as error:
            raise Unreadable(f"it is no CSV: {error}") from None


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _text(raw: bytes) -> str | None:
    if b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return None


def number(value: Any) -> float | Literal["blank", "no number"]:
    """A cell as a number, NaN and infinity included; an empty cell is blank, anything else no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "blank"
    if isinstance(value, bool):
        return "no number"
    try:
        return float(value)
    except (TypeError, ValueError):
        return "no number"
    except OverflowError:
        return math.inf


def same(cell: Any, wanted: Any) -> bool:
    """Is a cell the wanted value, as text or as a number?"""
    if cell is None:
        return False
    if str(cell).strip() == str(wanted):
        return True
    left, right = number(cell), number(wanted)
    return isinstance(left, float) and isinstance(right, float) and left == right
