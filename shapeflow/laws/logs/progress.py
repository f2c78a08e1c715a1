"""Which column says how far a run is, and in what unit: steps, epochs, tokens or samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shapeflow.base.units import Amount
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.logs.batches import contexts
from shapeflow.laws.logs.epochs import Epoch
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.words import Role
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.series import Progress
from shapeflow.laws.logs.table_facts import TableFacts

OTHERS: tuple[Role, ...] = ("epochs", "samples", "tokens", "time", "rate")
"""Roles of columns that are mistaken for steps."""
ASK = {
    "epochs": "say how many steps an epoch has: `step_unit: 40 steps`",
    "samples": "say what a sample is: `step_unit: 1 samples` for images, `step_unit: 1024 tokens` for texts",
    "tokens": "say that it counts tokens: `step_unit: 1 tokens`",
}
"""What a column counts -> the help of the error."""


def unnamed_counter(counters: Sequence[str]) -> str:
    """Return what to write for columns that rise along the runs and whose names do not say what they count."""
    first = counters[0]
    if words.is_tokens(first):
        return (
            f"`{first}` counts tokens in a unit that its name does not state, since it is small: write "
            f'`step: "{first}", step_unit: 1e9 tokens` if it counts billions'
        )
    if words.numbers_rows(first):
        called = f"`{first}`" if first else "the column without a name"
        return (
            f"{called} seems to number the rows: if a row is logged after every 100 steps, write "
            f'`step: "{first}", step_unit: 100 steps`'
        )
    others = f" (and {', '.join(f'`{name}`' for name in counters[1:4])})" if counters[1:] else ""
    return (
        f"`{first}`{others} rises along the runs, but its name does not say what it counts: write "
        f'`step: "{first}"` if steps of the optimizer, `step: "{first}", step_unit: 1 tokens` if '
        f"tokens (`40 steps` for epochs, "
        f'`1 samples` for images, `1024 tokens` for sequences of 1024), `compute: "{first}"` if FLOPs'
    )


def unstated_size(size: str, tokens: str) -> str:
    """Return what to write for parameters that are too few to be single ones."""
    return (
        f"`{size}` counts parameters in a unit that its name does not state, since it is small: write "
        f'`compute: "6e6 * {size} * {tokens}"` if it counts millions, `"6e9 * {size} * {tokens}"` if billions'
    )


class Finds(Protocol):
    """The part of a finder of columns that this module uses."""

    @property
    def query(self) -> Query: ...

    @property
    def request(self) -> LawRequest: ...

    def filled(self, text: str, given: Mapping[str, str]) -> str: ...

    def column(self, setting: Purpose, wanted: list[str], names: list[str], file: str) -> str | None: ...

    def wrong(self, setting: Purpose, column: str, file: str, why: str, help: str | None) -> None: ...


def progress_of(finder: Finds, table: TableFacts, given: Mapping[str, str], file: str) -> Progress | None:
    """Return the column that says how far a run is. None if there is none, or after an error (`missing-column`,
    `wrong-counter`)."""
    query, roles = finder.query, table.roles
    if query.step is None:
        return _usual(finder, table)
    column = finder.column("step", [finder.filled(query.step, given)], list(table.names), file)
    if column is None:
        return None
    role = words.role_of(column)
    kind = role if role in OTHERS and roles.step != column else "step"
    if kind == "epochs" and table.epoch is not None:
        return _in_epochs(column, table, table.epoch)
    if kind in ("time", "rate") or (kind != "step" and query.step_unit is None):
        counts = f"counts {kind}" if kind in ASK else "is a time" if kind == "time" else "is an amount per time"
        finder.wrong("step", column, file, f"{counts}, not steps", ASK.get(kind))
        return None
    if query.step_unit is not None and query.step_unit.dimension == "samples" and contexts(finder.request):
        # A sample of a text is a window, and nothing says that those of the log are as long as those of the file.
        why = "`samples` are those of images, and this model learns from text"
        finder.wrong("step", column, file, why, "write the tokens of a sample: `step_unit: 1024 tokens`")
        return None
    found = table.columns.get(column)
    if kind == "step" and query.step_unit is None and found is not None and not found.whole:
        help_ = "write how many steps it counts: `step_unit: 1000 steps` for thousands"
        finder.wrong("step", column, file, "is not a whole number everywhere, so it does not count single steps", help_)
        return None
    return _in_units(query, column, kind, table)


def _usual(finder: Finds, table: TableFacts) -> Progress | None:
    """Return the column of steps, or of tokens if the file has a model and the log has no steps."""
    roles, query = table.roles, finder.query
    if roles.step is not None and roles.of[roles.step].sure != "guess":
        return _in_units(query, roles.step, "step", table)
    if roles.epochs is not None and query.step_unit is not None and query.step_unit.dimension == "steps":
        return _in_units(query, roles.epochs, "epochs", table)
    if roles.epochs is not None and table.epoch is not None and roles.tokens is None:
        return _in_epochs(roles.epochs, table, table.epoch)
    if roles.tokens is not None and finder.request.step_data is not None:
        return Progress(roles.tokens, words.count_of(roles.tokens), data=True)
    return None


def _in_units(query: Query, column: str, kind: str, table: TableFacts) -> Progress:
    return in_units(column, query.step_unit, kind == "epochs" and counts_late(table.columns.get(column)))


def _in_epochs(column: str, table: TableFacts, epoch: Epoch) -> Progress:
    return in_epochs(column, epoch, counts_late(table.columns.get(column)))


def counts_late(column: Column | None) -> bool:
    """Return whether a column of epochs counts from 0 what has already ended."""
    return column is not None and column.whole and column.low == 0


def in_epochs(column: str, epoch: Epoch, late: bool) -> Progress:
    """Return the progress that a column of epochs counts, of a length that a configuration says."""
    return Progress(column, epoch.steps, late=late, source=epoch.said)


def in_units(column: str, unit: Amount | None, late: bool) -> Progress:
    """Return the progress that a column counts in a unit; without one, in steps."""
    if unit is None:
        return Progress(column, late=late)
    return Progress(column, unit.value * words.count_of(column), unit.dimension in ("tokens", "samples"), late)
