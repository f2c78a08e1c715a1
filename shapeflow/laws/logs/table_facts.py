"""What is known of the columns of a table before its rows are read: names, some rows, and the roles found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import attrs

from shapeflow.laws.logs.batches import Amount, per_step
from shapeflow.laws.logs.epochs import Epoch
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.finding.by_name import FILE, Found
from shapeflow.laws.logs.finding.roles import LAGS, SPEED, STILL, Roles, roles_of
from shapeflow.laws.logs.finding.summary import Column, columns_of
from shapeflow.laws.logs.finding.values import counts_up, is_rate
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
    stepped: bool = False
    """Whether steps rise along the runs of the first rows."""
    batches: tuple[Amount, ...] = ()
    """How much the columns of tokens and of samples grow in one step."""
    epoch: Epoch | None = None
    """The length of an epoch, if a configuration next to the file says it."""
    rows: Sequence[Row] = attrs.field(default=(), eq=False, repr=False)
    """The first rows."""
    whole: bool = True
    """Whether the first rows are all rows."""

    def may_count(self, name: str) -> bool:
        """Whether a column may count compute: in the first rows it holds numbers, and not zeros alone, nor the same
        amount all along a run, as that of a step."""
        column = self.columns.get(name)
        zero = column is not None and column.high <= 0
        why = self.roles.of.get(name, Found()).why
        return not zero and why != LAGS and not (self.stepped and why == STILL)

    def speed_in(self, columns: Sequence[str], settled: bool) -> str | None:
        """Return the first of these columns that is FLOPs per second by its values; else None. `settled`: whether a
        number says that it is an amount, where values leave that open."""
        whys = (SPEED,) if settled else (SPEED, LAGS)
        return next((name for name in columns if self.roles.of.get(name, Found()).why in whys), None)

    def lagging(self) -> str | None:
        """Return a column that is named like compute, and may be FLOPs per second; else None."""
        return next((name for name, one in self.roles.of.items() if one.why == LAGS), None)

    def is_rate(self, amount: Callable[[Row], float | str], keys: Sequence[str]) -> bool:
        """Whether an amount does not accumulate along the runs of the first rows. `keys`: columns that separate the
        runs, in addition to those that were found."""
        roles = self.roles
        of_runs = [FILE, *roles.axes.values(), *roles.runs, *keys]
        return not roles.ends and is_rate(self.rows, amount, roles.step, of_runs)


def facts_of(names: Sequence[str], rows: Iterator[Row], axes: Mapping[str, str]) -> TableFacts:
    """Return the facts about a table by its first rows. `axes`: axis -> its column."""
    columns: dict[str, Column] = {}
    most = max(20, min(SAMPLE, CELLS // max(len(names), 1)))
    some = list(islice(rows, most))
    columns_of(some, columns)
    of_axes = AxisWords({plain(column): axis for axis, column in axes.items()}, _texts(columns, axes))
    taken = [{**row, FILE: ""} for row in some]
    roles = roles_of(columns, taken, of_axes)
    keys = [FILE, *roles.axes.values(), *roles.runs]
    stepped = roles.step is not None and counts_up(taken, roles.step, keys)
    return TableFacts(names, columns, roles, stepped, per_step(taken, roles, keys), rows=taken, whole=len(some) < most)


def _texts(columns: Mapping[str, Column], axes: Mapping[str, str]) -> frozenset[str]:
    return frozenset(axis for axis, name in axes.items() if name in columns and not columns[name].numeric)
