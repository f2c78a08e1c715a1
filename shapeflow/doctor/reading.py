"""Reads logs that have the same columns: their files, the contents of their columns, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.doctor.columns import Column, columns_of
from shapeflow.doctor.facts import FileFacts
from shapeflow.doctor.grouping import FILE
from shapeflow.doctor.names import axis_of, is_named
from shapeflow.doctor.paths import folder_of, only, paths_of, pattern_of
from shapeflow.doctor.places import Places, long_rows, places_of, wide_of
from shapeflow.doctor.sources import Source, sources, unreadable
from shapeflow.laws.logs.readers import Row, Unreadable
from shapeflow.laws.logs.template import Template

CELLS = 400_000
"""The number of cells that are inspected to find the roles of columns."""


@attrs.frozen(eq=False)
class Reading:
    """Logs that have the same columns."""

    logs: Sequence[Source]
    """Their rows include the values of axes in the names of files and columns."""
    files: tuple[FileFacts, ...]
    columns: Mapping[str, Column]
    count: int
    """The number of rows."""
    folder: str
    """The folder for a `.shape` file that reads them, relative to the current folder."""
    pattern: str | None
    """The pattern that matches the files and no others, relative to `folder`; None if there is none."""
    wide: str | None
    """The template of the error columns, if the table has one column per run."""

    def tables(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Yield the name of the run of each log, and its rows."""
        return ((log.log.run.as_posix(), log.read()) for log in self.logs)

    def some(self) -> list[Row]:
        """The first rows of each log, as many as `CELLS` allows. Each row contains the run of its file."""
        share = max(CELLS // max(len(self.columns), 1) // len(self.logs), 1)
        found: list[Row] = []
        for log in self.logs:
            for index, row in enumerate(log.read()):
                if index >= share:
                    break
                found.append({**row, FILE: log.log.run.as_posix()})
        return found


def readings(names: Sequence[str], report: Report) -> list[Reading]:
    """Read logs, given as files, folders of files, folders of runs, or patterns, and group them by their columns.

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
    return [_reading(logs) for logs in groups.values()]


def _reading(logs: Sequence[Source]) -> Reading:
    columns: dict[str, Column] = {}
    count = sum(columns_of(log.read(), columns) for log in logs)
    files = tuple(log.facts() for log in logs)
    folder = folder_of(files)
    logs, pattern, wide = _with_places(logs, files, folder, columns)
    if any(log.placed for log in logs):
        columns = {}
        count = sum(columns_of(log.read(), columns) for log in logs)
    return Reading(logs, files, columns, count, folder, pattern, wide)


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
