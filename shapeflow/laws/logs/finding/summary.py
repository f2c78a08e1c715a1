"""Summarizes the contents of columns in one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from shapeflow.laws.logs.readers import Row, Unreadable, number
from shapeflow.laws.logs.readers.numerals import has_comma

COUNTED = 200
"""The number of distinct values that are counted per column if there are few columns."""
VALUES = 50_000
"""The number of distinct values that are counted over all columns."""
COMMAS = 50
"""The number of cells with a comma that are kept of each column."""
WIDEST = 20_000
"""A table with more columns than this is not accepted as a log."""


@attrs.define
class Column:
    """A summary of the cells of one column."""

    name: str
    present: int = 0
    numbers: int = 0
    texts: int = 0
    not_finite: int = 0
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    room: int = COUNTED
    """The number of distinct values that are counted."""
    values: dict[str, int] = attrs.field(factory=dict)
    """Value -> number of rows, for the first `room` distinct values."""
    many: bool = False
    """Whether there are more distinct values than were counted."""
    commas: list[str] = attrs.field(factory=list)
    """Some of the cells that are numbers with a comma."""

    def add(self, cell: Any) -> None:
        value = number(cell)
        if value == "blank":
            return
        self.present += 1
        text = str(cell).strip()[:200]
        if text in self.values:
            self.values[text] += 1
        elif len(self.values) < self.room:
            self.values[text] = 1
        else:
            self.many = True
        if not isinstance(value, float):
            self.texts += 1
            if len(self.commas) < COMMAS and has_comma(cell):
                self.commas.append(text)
        elif not math.isfinite(value):
            self.not_finite += 1
        else:
            self.numbers += 1
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.whole &= value == int(value)

    @property
    def numeric(self) -> bool:
        """Whether most of its cells are numbers."""
        return self.numbers > self.texts

    @property
    def with_commas(self) -> bool:
        """Whether it contains numbers with commas, and hardly any plain text."""
        return len(self.commas) > 0.5 * min(self.texts, COMMAS) > 0

    @property
    def few(self) -> bool:
        """Whether it contains more than one value, but few relative to its rows."""
        return not self.many and 1 < len(self.values) <= max(2, self.present // 2)

    @property
    def constant(self) -> bool:
        return len(self.values) == 1


def columns_of(rows: Iterable[Row], known: dict[str, Column]) -> int:
    """Add rows to columns, and return the number of rows. Raises Unreadable if there are more than `WIDEST` columns."""
    count = 0
    for row in rows:
        count += 1
        for name, cell in row.items():
            if name not in known:
                if len(known) >= WIDEST:
                    raise Unreadable(f"it has more than {WIDEST} columns")
                # A fit uses the columns of narrow tables, or the first columns of wide ones. The others are only shown.
                known[name] = Column(name, room=min(COUNTED, max(8, VALUES // (len(known) + 1))))
            known[name].add(cell)
    return count
