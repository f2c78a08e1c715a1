"""One log file: its rows, and facts about it that are common to all formats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.laws.logs.readers.block import Block, Wanted
from shapeflow.laws.logs.readers.numerals import Numerals, translated
from shapeflow.laws.logs.readers.spelled import spelled_out, spelled_out_block

Row = Mapping[str, Any]
"""Column -> cell. A row may lack some of the columns of the log."""
Piece = Row | Block
"""One row, or many rows of a table."""

COLUMNS, LETTERS = 100_000, 8 << 20
"""Maximum number of columns of a log, and maximum total length of their names."""
NOTHING = Wanted(frozenset(), frozenset())
_CHECKPOINT = re.compile(r"checkpoint-\d+")


class Unreadable(Exception):  # noqa: N818 - a fact about a file, reported as a diagnostic
    """A file is not a readable log. The message states why."""

    path: Path | None = None
    """The file, if its rows were being read."""


class MissingExtra(Unreadable):
    """A file cannot be read because the package that reads it is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"it is read by the package `{package}`, which is not installed")
        self.extra = extra
        """The extra of shapeflow that installs the package."""


@attrs.define
class Log:
    """One file, which is read row by row. The facts about it are complete once `rows()` is exhausted."""

    path: Path
    format: str
    """The name of the format for messages: `CSV`, `parquet`, ..."""
    read: Callable[[Log], Iterator[Row]] = attrs.field(repr=False)
    """The reader of the format. It sets the facts below."""
    uniform: bool = False
    """Whether all rows have the same columns. A reader may find that they have not."""
    numerals: Numerals = "plain"
    """How numbers are written."""
    read_pieces: Callable[[Log, Wanted | None], Iterator[Piece]] | None = attrs.field(default=None, repr=False)
    """The same reader for many rows at once, if the format has one."""
    sha256: str = ""
    """SHA-256 of the whole file."""
    torn: bool = False
    """Whether the file is truncated. The incomplete last row is then left out."""
    broken: int = 0
    """Number of rows that cannot be read, not counting a truncated last row."""
    sampled: bool = False
    """Whether the file may contain only a sample of the logged rows."""
    unfinished: Counter[str] = attrs.field(factory=Counter)
    """State -> number of rows that were left out, since they are of runs that did not finish."""
    made: dict[str, str] = attrs.field(factory=dict)
    """Column that the reader derived -> how it was derived."""
    run_folder: Path | None = None
    """The folder of the run, if the reader finds that it is not that of the file."""
    notes: list[str] = attrs.field(factory=list)
    """Other facts about the file, in lower case and without a full stop."""

    def rows(self) -> Iterator[Row]:
        """Yield the rows. Each call reads the file from the beginning. Raises Unreadable for a file that is not a log
        or cannot be opened."""
        self._begin()
        try:
            found = self.read(self)
            for row in found if self.numerals == "plain" else translated(found, self.numerals):
                yield spelled_out(row)
        except OSError as error:
            found_out = Unreadable((error.strerror or "it cannot be opened").lower())
            found_out.path = self.path
            raise found_out from None
        except Unreadable as error:
            error.path = self.path
            raise

    def pieces(self, wanted: Wanted | None = None) -> Iterator[Piece]:
        """Yield the same rows, in blocks where the format can be read in blocks. Blocks hold the columns that are
        wanted; None: all. Raises Unreadable."""
        if self.read_pieces is None or self.numerals != "plain":
            yield from self.rows()
            return
        self._begin()
        try:
            for piece in self.read_pieces(self, wanted):
                yield spelled_out_block(piece) if isinstance(piece, Block) else spelled_out(piece)
        except OSError as error:
            raise Unreadable((error.strerror or "it cannot be opened").lower()) from None

    def _begin(self) -> None:
        self.sha256, self.torn, self.broken, self.sampled, self.made, self.notes = "", False, 0, False, {}, []
        self.unfinished = Counter()

    def columns(self) -> list[str]:
        """Return the columns of all rows, in order of appearance. Empty if the file has no rows. Reads the whole file,
        or only the first row if all rows have the same columns. Raises Unreadable."""
        found: dict[str, None] = {}
        letters = 0
        for piece in self.rows() if self.uniform else self.pieces(NOTHING):
            names = (piece.names or tuple(piece.cells)) if isinstance(piece, Block) else tuple(piece)
            letters += sum(len(name) for name in names if name not in found)
            found.update(dict.fromkeys(names))
            if len(found) > COLUMNS or letters > LETTERS:
                raise Unreadable(f"it has more than {COLUMNS} columns, or names of them too long")
            if self.uniform:
                break
        return list(found)

    @property
    def run(self) -> Path:
        """The path that identifies the run: the file, or the folder if the log of a run consists of several files, as
        for TensorBoard, MLflow, and the checkpoints of a Hugging Face trainer."""
        if self.run_folder is not None:
            return self.run_folder
        if self.format == "Hugging Face trainer state":
            return self.path.parent.parent if _CHECKPOINT.fullmatch(self.path.parent.name) else self.path.parent
        return self.path
