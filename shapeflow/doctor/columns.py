"""Summarizes the contents of columns in one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from shapeflow.doctor.facts import ColumnFacts, Role
from shapeflow.laws.logs.readers import Row, Unreadable, number

COUNTED = 200
"""The number of distinct values that are counted per column if there are few columns."""
VALUES = 50_000
"""The number of distinct values that are counted over all columns."""
WIDEST = 20_000
"""A table with more columns than this is not accepted as a log."""
SHOWN = 6


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
    def few(self) -> bool:
        """Whether it contains more than one value, but few relative to its rows."""
        return not self.many and 1 < len(self.values) <= max(2, self.present // 2)

    @property
    def constant(self) -> bool:
        return len(self.values) == 1

    def facts(self, rows: int, role: Role, why: str) -> ColumnFacts:
        """The facts that are shown."""
        kind = "empty" if not self.present else "text" if not self.numeric else "whole numbers"
        finite = self.numeric and self.numbers > 0
        return ColumnFacts(
            name=self.name,
            kind="numbers" if kind == "whole numbers" and not self.whole else kind,  # type: ignore[arg-type]
            low=self.low if finite else None,
            high=self.high if finite else None,
            distinct=None if self.many else len(self.values),
            values=tuple(self.values)[:SHOWN],
            blank=rows - self.present,
            not_finite=self.not_finite,
            odd=self.texts if self.numeric else 0,
            role=role,
            why=why,
        )


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
