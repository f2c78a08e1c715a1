"""The contents of columns, from one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from shapeflow.doctor.facts import ColumnFacts, Role
from shapeflow.laws.logs.readers import Row, Unreadable, number

COUNTED = 200
"""Distinct values that are counted per column, where there are few columns."""
VALUES = 50_000
"""Distinct values that are counted in all columns together."""
WIDEST = 20_000
"""Most columns of a table that is accepted as a log."""
SHOWN = 6


@attrs.define
class Column:
    """The cells of one column, summed up."""

    name: str
    present: int = 0
    numbers: int = 0
    texts: int = 0
    not_finite: int = 0
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    room: int = COUNTED
    """Distinct values that are counted."""
    values: dict[str, int] = attrs.field(factory=dict)
    """Value -> rows, of the first `room`."""
    many: bool = False
    """Are there more distinct values than were counted?"""

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
        """Are most of its cells numbers?"""
        return self.numbers > self.texts

    @property
    def few(self) -> bool:
        """Does it hold more than one value, but few relative to its rows?"""
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
    """Add rows to columns, and return the number of rows. Raises Unreadable where there are more columns than any log
    has."""
    count = 0
    for row in rows:
        count += 1
        for name, cell in row.items():
            if name not in known:
                if len(known) >= WIDEST:
                    raise Unreadable(f"it has more than {WIDEST} columns")
                # A fit needs columns of narrow tables, or early ones of wide tables; the others are only shown.
                known[name] = Column(name, room=min(COUNTED, max(8, VALUES // (len(known) + 1))))
            known[name].add(cell)
    return count
