"""What is known of the columns of a table before its rows are read: names, some rows, and the roles found in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import attrs

from shapeflow.laws.logs.epochs import Epoch
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.finding.by_name import FILE
from shapeflow.laws.logs.finding.roles import Roles, roles_of
from shapeflow.laws.logs.finding.summary import Column, columns_of
from shapeflow.laws.logs.finding.words import plain
from shapeflow.laws.logs.readers import Row

SAMPLE, CELLS = 2000, 200_000
"""Maximum number of rows, and of their cells, that decide the roles of columns."""


@attrs.frozen
class TableFacts:
    """The columns of a table."""

    names: Sequence[str]
    columns: Mapping[str, Column] = attrs.field(factory=dict)
    """Column -> a summary of its cells in the first rows."""
    roles: Roles = attrs.field(factory=Roles)
    epoch: Epoch | None = None
    """The length of an epoch, if a configuration next to the file says it."""

    def empty(self, name: str) -> bool:
        """Whether a column holds no number above 0 in the first rows, although it holds numbers."""
        column = self.columns.get(name)
        return column is not None and column.numbers > 0 and column.high <= 0


def facts_of(names: Sequence[str], rows: Iterator[Row], axes: Mapping[str, str]) -> TableFacts:
    """Return the facts about a table by its first rows. `axes`: axis -> its column."""
    columns: dict[str, Column] = {}
    some = list(islice(rows, max(20, min(SAMPLE, CELLS // max(len(names), 1)))))
    columns_of(some, columns)
    of_axes = AxisWords({plain(column): axis for axis, column in axes.items()}, _texts(columns, axes))
    return TableFacts(names, columns, roles_of(columns, [{**row, FILE: ""} for row in some], of_axes))


def _texts(columns: Mapping[str, Column], axes: Mapping[str, str]) -> frozenset[str]:
    return frozenset(axis for axis, name in axes.items() if name in columns and not columns[name].numeric)
