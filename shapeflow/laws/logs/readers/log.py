"""One log file: what every format tells of it, and its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

Row = Mapping[str, Any]
"""Column -> cell; not every row has every column."""

COLUMNS, LETTERS = 100_000, 8 << 20
"""Columns of a log, and letters of their names; a file of more is none."""
_CHECKPOINT = re.compile(r"checkpoint-\d+")


class Unreadable(Exception):  # noqa: N818 - a fact about a file, told as a diagnostic
    """A file that is no log; the text says why."""


class MissingExtra(Unreadable):
    """A file that is read by a package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"it is read by the package `{package}`, which is not installed")
        self.extra = extra
        """The extra of shapeflow that brings the package."""


@attrs.define
class Log:
    """One file, read row by row; the facts about it are whole when `rows()` has ended."""

    path: Path
    format: str
    """What it is, to be shown: `CSV`, `parquet`, ..."""
    read: Callable[[Log], Iterator[Row]] = attrs.field(repr=False)
    """The format's reader; it fills in the facts below."""
    uniform: bool = False
    """Has every row the columns of the first?"""
    sha256: str = ""
    """Of the whole file."""
    torn: bool = False
    """Was the end cut off (and the last row left out)?"""
    broken: int = 0
    """Rows inside the file that cannot be read."""
    sampled: bool = False
    """May the file be a sample of what was logged?"""
    made: dict[str, str] = attrs.field(factory=dict)
    """Columns that the reader worked out -> how."""
    notes: list[str] = attrs.field(factory=list)
    """What else is worth knowing of the file: lower case, no full stop."""

    def rows(self) -> Iterator[Row]:
        """The rows, streamed, from the beginning at each call. Raises Unreadable for a file that is no log, or cannot
        be opened."""
        self.sha256, self.torn, self.broken, self.sampled, self.made, self.notes = "", False, 0, False, {}, []
        try:
            yield from self.read(self)
        except OSError as error:
            raise Unreadable((error.strerror or "it cannot be opened").lower()) from None

    def columns(self) -> list[str]:
        """The columns of all rows, in the order they come; empty where there is no row. Reads the file, unless every
        row has the columns of the first. Raises Unreadable."""
        found: dict[str, None] = {}
        letters = 0
        for row in self.rows():
            letters += sum(len(name) for name in row if name not in found)
            found.update(dict.fromkeys(row))
            if len(found) > COLUMNS or letters > LETTERS:
                raise Unreadable(f"it has more than {COLUMNS} columns, or names of them too long")
            if self.uniform:
                break
        return list(found)

    @property
    def run(self) -> Path:
        """What tells its run from others: the file, or the folder where a run's log is spread over files, as that of
        TensorBoard or of a trainer's checkpoints is."""
        if self.format == "TensorBoard events":
            return self.path.parent
        if self.format == "Hugging Face trainer state":
            return self.path.parent.parent if _CHECKPOINT.fullmatch(self.path.parent.name) else self.path.parent
        return self.path
