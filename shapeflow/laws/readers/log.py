"""One log file: what every format tells of it, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

Row = Mapping[str, Any]
"""Column -> cell; not every row has every column."""


class Unreadable(Exception):  # noqa: N818 - a fact about a file, told as a diagnostic
    """A file that is no log; the text says why."""


@attrs.define
class Log:
    """One file, read row by row; the facts about it are whole when `rows()` has ended."""

    path: Path
    format: str
    """What it is, to be shown: `CSV`, `parquet`, ..."""
    read: Callable[[Log], Iterator[Row]] = attrs.field(repr=False)
    """The format's reader; it fills in the facts below."""
    sha256: str = ""
    torn: bool = False
    """Was the end cut off (and the last row left out)?"""
    broken: int = 0
    """Rows inside the file that cannot be read."""
    sampled: bool = False
    """Does the file hold a sample of what was logged?"""
    notes: list[str] = attrs.field(factory=list)
    """What else is worth knowing of the file: whole sentences, lower case, no full stop."""

    def rows(self) -> Iterator[Row]:
        """The rows, streamed, from the beginning at each call. Raises Unreadable for a file that is no log, or cannot
        be opened."""
        self.sha256, self.torn, self.broken, self.notes = "", False, 0, []
        try:
            yield from self.read(self)
        except OSError as error:
            raise Unreadable(error.strerror or "it cannot be opened") from None
