"""Summarizes the contents of columns in one pass over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.readers import Block, Piece, Unreadable, number
from shapeflow.laws.logs.readers.block import DISTINCT, Numbers, Texts
from shapeflow.laws.logs.readers.numerals import has_comma, has_dots

COUNTED = DISTINCT
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
    values: dict[str, None] = attrs.field(factory=dict)
    """The first `room` distinct values."""
    many: bool = False
    """Whether there are more distinct values than were counted."""
    commas: list[str] = attrs.field(factory=list)
    """Some of the cells that are numbers with a comma."""

    def add(self, cell: Any, times: int = 1) -> None:
        """Add a cell that `times` rows have."""
        value = number(cell)
        if value == "blank":
            return
        self.present += times
        text = str(cell).strip()[:200]
        if len(self.values) < self.room:
            self.values[text] = None
        elif not self.many:
            self.many = text not in self.values
        if not isinstance(value, float):
            self.texts += times
            if len(self.commas) < COMMAS and has_comma(cell):
                self.commas.append(text)
        elif not math.isfinite(value):
            self.not_finite += times
        else:
            self.numbers += times
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.whole &= value == int(value)

    def add_all(self, cells: Numbers | Texts) -> None:
        """Add the cells of many rows."""
        if isinstance(cells, Numbers):
            self._add_numbers(cells.values[~np.isnan(cells.values)])
        elif any(has_comma(text) for text in cells.distinct):
            # The first ones are kept, in the order of rows.
            for code in cells.codes.tolist():
                self.add(cells.distinct[code])
        else:
            times = np.bincount(cells.codes, minlength=len(cells.distinct)).tolist()
            for text, count in zip(cells.distinct, times, strict=True):
                if count:
                    self.add(text, count)

    def _add_numbers(self, values: NDArray[np.float64]) -> None:
        """Add finite numbers of a column that has more distinct values than are counted."""
        if len(values):
            self.many = True
            self.present += len(values)
            self.numbers += len(values)
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
            self.whole = self.whole and bool((values == np.trunc(values)).all())

    def merge(self, later: Column) -> None:
        """Add a summary of later rows, of which as many distinct values were counted."""
        self.present += later.present
        self.numbers += later.numbers
        self.texts += later.texts
        self.not_finite += later.not_finite
        self.low, self.high = min(self.low, later.low), max(self.high, later.high)
        self.whole &= later.whole
        distinct = self.values | later.values
        self.many |= later.many or len(distinct) > self.room
        self.values = dict(islice(distinct.items(), self.room))
        self.commas = [*self.commas, *later.commas][:COMMAS]

    @property
    def numeric(self) -> bool:
        """Whether most of its cells are numbers."""
        return self.numbers > self.texts

    @property
    def with_commas(self) -> bool:
        """Whether it contains numbers with commas, and hardly any plain text."""
        return len(self.commas) > 0.5 * min(self.texts, COMMAS) > 0

    @property
    def with_dots(self) -> bool:
        """Whether it contains whole numbers with dots, which may stand between thousands."""
        return has_dots(self.values)

    @property
    def few(self) -> bool:
        """Whether it contains more than one value, but few relative to its rows."""
        return not self.many and 1 < len(self.values) <= max(2, self.present // 2)

    @property
    def constant(self) -> bool:
        return len(self.values) == 1


def columns_of(pieces: Iterable[Piece], known: dict[str, Column]) -> int:
    """Add rows to columns, and return the number of rows. Raises Unreadable if there are more than `WIDEST` columns."""
    count = 0
    for piece in pieces:
        if isinstance(piece, Block):
            count += piece.count
            for name, cells in piece.cells.items() if piece.count else ():
                _column(name, known).add_all(cells)
            continue
        count += 1
        for name, cell in piece.items():
            _column(name, known).add(cell)
    return count


def _column(name: str, known: dict[str, Column]) -> Column:
    if name not in known:
        if len(known) >= WIDEST:
            raise Unreadable(f"it has more than {WIDEST} columns")
        # A fit uses the columns of narrow tables, or the first columns of wide ones. The others are only shown.
        known[name] = Column(name, room=min(COUNTED, max(8, VALUES // (len(known) + 1))))
    return known[name]


def merge(known: dict[str, Column], later: Mapping[str, Column]) -> bool:
    """Add summaries of later rows, which are not used afterwards. Return False, and add nothing, for
    wide tables: fewer values are counted there, depending on the order of columns."""
    if len({*known, *later}) > VALUES // COUNTED:
        return False
    for name, column in later.items():
        if name in known:
            known[name].merge(column)
        else:
            known[name] = column
    return True
