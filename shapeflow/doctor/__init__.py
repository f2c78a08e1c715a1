"""Inspects logs and proposes `.shape` sentences that fit laws to them: `shapeflow doctor`.

The logs are read three times: for the contents of the columns, for their roles, and for the curves. Only some rows are
kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.doctor.columns import Column, columns_of
from shapeflow.doctor.curves import curves_of, facts_of
from shapeflow.doctor.facts import ColumnFacts, CurveFacts, Examined, FileFacts, Table
from shapeflow.doctor.grouping import FILE
from shapeflow.doctor.names import axis_of, is_named
from shapeflow.doctor.paths import folder_of, only, paths_of, pattern_of
from shapeflow.doctor.places import Places, long_rows, places_of, wide_of
from shapeflow.doctor.proposal import advice_of, sentences_of
from shapeflow.doctor.roles import Roles, roles_of
from shapeflow.doctor.sources import Source, sources, unreadable
from shapeflow.laws.logs.readers import Row, Unreadable
from shapeflow.laws.logs.template import Template

__all__ = ["ColumnFacts", "CurveFacts", "Examined", "FileFacts", "Table", "examine"]

CELLS = 400_000
"""The number of cells that are inspected to find the roles of columns."""


def examine(names: Sequence[str], report: Report) -> Examined:
    """Inspect logs, given as files, folders of files, folders of runs, or patterns.

    Reports `no-such-logs`, `unreadable-log` and `missing-extra`; the result still contains every log that can be read.
    """
    groups: dict[tuple[str, ...], list[Source]] = {}
    for source in sources(names, report):
        columns: dict[str, Column] = {}
        try:
            source.count = columns_of(source.read(), columns)
        except Unreadable as error:
            unreadable(source.path, error, report)
            continue
        groups.setdefault((source.format, *sorted(columns)), []).append(source)
    return Examined(tables=tuple(map(_table, groups.values())))


def _table(logs: Sequence[Source]) -> Table:
    """The facts and the proposal for logs that have the same columns."""
    columns: dict[str, Column] = {}
    count = sum(columns_of(log.read(), columns) for log in logs)
    files = tuple(log.facts() for log in logs)
    folder = folder_of(files)
    logs, pattern, wide = _with_places(logs, files, folder, columns)
    if any(log.placed for log in logs):
        columns = {}
        count = sum(columns_of(log.read(), columns) for log in logs)
    roles = roles_of(columns, list(_some(logs, len(columns))))
    curves = curves_of(((log.log.run.as_posix(), log.read()) for log in logs), roles) if _complete(roles) else {}
    facts = facts_of(curves)
    sentences: tuple[str, ...] = ()
    if facts is not None and pattern is not None and _may_fit(roles):
        sentences = sentences_of(list(columns), roles, curves, facts, pattern)
    return Table(
        files=files,
        columns=tuple(column.facts(count, *roles.of.get(name, ("", ""))) for name, column in columns.items()),
        curves=facts,
        sentences=sentences,
        needs_model=bool(sentences) and not roles.compute,
        folder=folder,
        advice=tuple(advice_of(files, columns, roles, facts, pattern, wide)) if count else ("the log has no rows",),
    )


def _with_places(
    logs: Sequence[Source], files: Sequence[FileFacts], folder: str, columns: Mapping[str, Column]
) -> tuple[Sequence[Source], str | None, str | None]:
    """Add values of axes from the names of columns and files to the rows of logs. Returns the logs; the pattern that
    matches the files; and the template of the error columns, if a table has one column per run."""
    wide = wide_of(list(columns))
    if wide is not None:
        logs = [attrs.evolve(log, read=partial(_long, log, wide), placed=True) for log in logs]
    paths = paths_of(files, folder)
    places = None if any(_of_numbers(name) for name in columns) or wide is not None else places_of(paths)
    if places is not None and only(Template(places.template).pattern, paths, folder):
        pairs = zip(logs, paths, strict=True)
        placed = [attrs.evolve(log, read=partial(_given, log, places.values[path]), placed=True) for log, path in pairs]
        return placed, places.template, None
    return logs, pattern_of(files, folder), None if wide is None else wide.template


def _of_numbers(column: str) -> bool:
    """Whether a column has the usual name of a numeric axis."""
    axis = axis_of(column)
    return axis is not None and not is_named(axis)


def _long(log: Source, wide: Places) -> Iterator[Row]:
    return long_rows(log.read(), wide)


def _given(log: Source, values: Mapping[str, str]) -> Iterator[Row]:
    return ({**row, **values} for row in log.read())


def _complete(roles: Roles) -> bool:
    return bool(roles.errors and (roles.compute or roles.step))


def _may_fit(roles: Roles) -> bool:
    """Whether the roles include everything that a fit to runs of constant shape needs."""
    return bool((roles.compute or roles.step) and roles.axes) and (roles.where is not None or not roles.moved)


def _some(logs: Sequence[Source], width: int) -> Iterator[Row]:
    """The first rows of each log, as many as `CELLS` allows. Each row contains the run of its file."""
    share = max(CELLS // max(width, 1) // len(logs), 1)
    for log in logs:
        for index, row in enumerate(log.read()):
            if index >= share:
                break
            yield {**row, FILE: log.log.run.as_posix()}
