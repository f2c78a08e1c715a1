"""Many rows of a table at once, as columns of equal length."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.readers.cells import number

DISTINCT = 200
"""A column is read as numbers, without the texts that they are written as, once a block has held more distinct texts of
it than this, or where only its numbers are wanted."""
NUMBER, BLANK, OTHER = 0, 1, 2
"""Kinds of cells."""


@attrs.frozen(eq=False)
class Numbers:
    """Cells that are all finite numbers or empty."""

    values: NDArray[np.float64]
    """One per row. NaN: an empty cell."""


@attrs.frozen(eq=False)
class Texts:
    """Cells as texts."""

    distinct: Sequence[str]
    """Each text once, in order of appearance."""
    codes: NDArray[np.int32]
    """One per row: the index of its text in `distinct`."""


@attrs.frozen
class Wanted:
    """The columns that are needed. Columns in both sets are read as texts."""

    texts: frozenset[str]
    numbers: frozenset[str]


@attrs.frozen(eq=False)
class Block:
    """Consecutive rows of a table."""

    count: int
    """Number of rows."""
    cells: Mapping[str, Numbers | Texts]
    """Column -> its cells, for the columns that are wanted, in the order of the header."""
    names: tuple[str, ...] = ()
    """All columns of the rows, wanted or not, where rows may have different ones."""

    def given(self, values: Mapping[str, str]) -> Block:
        """Return the block with columns that have one value in all rows."""
        same = {name: Texts((value,), np.zeros(self.count, np.int32)) for name, value in values.items()}
        return Block(self.count, {**self.cells, **same}, self.names)

    def numbers(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Return the number in each cell of a column, and the kind of each cell. A column that is not there is blank.
        Values of cells that are not numbers are undefined."""
        cells = self.cells.get(name)
        if cells is None:
            return np.zeros(self.count), np.full(self.count, BLANK, np.int8)
        if isinstance(cells, Numbers):
            return cells.values, np.where(np.isnan(cells.values), BLANK, NUMBER).astype(np.int8)
        found = [number(text) for text in cells.distinct]
        values = np.array([one if isinstance(one, float) else 0.0 for one in found])
        kinds = np.array([NUMBER if isinstance(one, float) else BLANK if one == "blank" else OTHER for one in found])
        return values[cells.codes], kinds.astype(np.int8)[cells.codes]

    def texts(self, name: str) -> Texts:
        """Return the cells of a column that is wanted as texts. A column that is not there holds `None`."""
        cells = self.cells.get(name)
        assert not isinstance(cells, Numbers)
        return cells or Texts(("None",), np.zeros(self.count, np.int32))

    def where(self, name: str, fits: Callable[[str | None], bool]) -> Block:
        """Return the rows whose cell in a column of texts fits. A column that is not there holds None."""
        if name not in self.cells:
            return self if fits(None) else self.chosen(np.arange(0))
        cells = self.texts(name)
        taken = np.array([fits(text) for text in cells.distinct], bool)[cells.codes]
        return self if taken.all() else self.chosen(np.flatnonzero(taken))

    def chosen(self, rows: NDArray[np.intp]) -> Block:
        """Return some of the rows."""
        kept: dict[str, Numbers | Texts] = {
            name: Numbers(cells.values[rows])
            if isinstance(cells, Numbers)
            else Texts(cells.distinct, cells.codes[rows])
            for name, cells in self.cells.items()
        }
        return Block(len(rows), kept, self.names)

    def groups(
        self, names: Sequence[str], key: Callable[[tuple[str, ...]], Hashable]
    ) -> list[tuple[tuple[str, ...], NDArray[np.intp]]]:
        """Return the rows whose texts in some columns have the same key: the texts of the first one, and the indices of
        the rows. Groups are in the order of their first rows."""
        texts = [self.texts(name) for name in names]
        label, kinds = np.zeros(self.count, np.int64), 1
        for cells in texts:
            label = label * len(cells.distinct) + cells.codes
            kinds *= len(cells.distinct)
            if kinds > self.count:
                label = np.unique(label, return_inverse=True)[1].astype(np.int64)
                kinds = int(label.max(initial=0)) + 1
        # Sorting small integers is much faster.
        order = np.argsort(label.astype(np.uint16) if kinds <= 1 << 16 else label, kind="stable")
        starts = np.flatnonzero(np.diff(label[order])) + 1
        found: dict[Hashable, tuple[tuple[str, ...], list[NDArray[np.intp]]]] = {}
        for rows in sorted(np.split(order, starts), key=lambda one: int(one[0])) if self.count else ():
            first = tuple(cells.distinct[cells.codes[rows[0]]] for cells in texts)
            found.setdefault(key(first), (first, []))[1].append(rows)
        return [(first, rows[0] if len(rows) == 1 else np.sort(np.concatenate(rows))) for first, rows in found.values()]
