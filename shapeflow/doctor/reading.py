"""Reads logs that have the same columns: their files, the contents of their columns, and their rows."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.doctor.facts import FileFacts
from shapeflow.doctor.names import axis_of, is_named
from shapeflow.doctor.paths import EVENTS, METRICS, folder_of, only, paths_of, pattern_of
from shapeflow.doctor.places import Places, long_rows, places_of, wide_of
from shapeflow.doctor.sources import Source, sources, unreadable
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import FILE, RUNS
from shapeflow.laws.logs.finding.notation import with_commas, with_dots
from shapeflow.laws.logs.finding.summary import Column, columns_of, merge
from shapeflow.laws.logs.finding.values import counts_up
from shapeflow.laws.logs.readers import PARTS, Block, Numerals, Piece, Row, Unreadable, Wanted, number
from shapeflow.laws.logs.readers.numerals import notations
from shapeflow.laws.logs.template import PART, RUN, Template

_BREAKS = re.compile(r"[\n\r]")
MOST_KEYS = 4
"""Most keys of configurations that may be axes."""
CELLS = 400_000
"""The number of cells that are inspected to find the roles of columns."""
LOOKED_AT, FIRST = 50, 100
"""Most files, and the first rows of each, that show whether a column counts rows."""


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
    numerals: tuple[Numerals, ...] = ()
    """The notations that its numbers may be in, if they are not plain."""

    @property
    def settings(self) -> list[str]:
        """What differs in the names of the files and is neither an axis nor a run, such as a learning rate."""
        places = [] if self.wide is not None else Template(self.pattern or "").places
        return [one for one in places if axis_of(one) != one and one not in (RUN, PART)]

    def pattern_for(self, where: tuple[str, str] | None) -> str:
        """The pattern with `*` in place of these settings, and the value of the one that is selected."""
        found = self.pattern or ""
        for one in self.settings:
            found = found.replace(f"{{{one}}}", where[1] if where is not None and where[0] == one else "*")
        return found

    def tables(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Yield the name of the run of each log, and its rows."""
        return ((log.run.as_posix(), log.read()) for log in self.logs)

    def pieces(self, wanted: Wanted) -> Iterator[tuple[str, Iterator[Piece]]]:
        """Yield the name of the run of each log, and its rows, in blocks of the wanted columns where possible."""
        return ((log.run.as_posix(), log.pieces(wanted)) for log in self.logs)

    def highest(self, column: str) -> dict[Path, float]:
        """Each log -> the highest number in a column; 0 without one."""
        wanted = Wanted(frozenset(), frozenset((column,)))
        return {log.path: _highest(log.pieces(wanted), column) for log in self.logs}

    def some(self) -> list[Row]:
        """The first rows of each log, as many as `CELLS` allows. Each row contains the run of its file."""
        share = max(CELLS // max(len(self.columns), 1) // len(self.logs), 1)
        found: list[Row] = []
        for log in self.logs:
            for index, row in enumerate(log.read()):
                if index >= share:
                    break
                found.append({**row, FILE: log.run.as_posix()})
        return found


@attrs.frozen
class Readings:
    """All logs, grouped by the columns that a fit takes."""

    each: list[Reading]
    passed: int
    """The number of files in folders that are not logs."""


def readings(names: Sequence[str], report: Report) -> Readings:
    """Read logs, given as files, folders or patterns, and group them by the columns that a fit takes.

    Reports `no-such-logs`, `unreadable-log` and `missing-extra`; the result still contains every log that can be read.
    """
    groups: dict[tuple[object, ...], _Group] = {}
    found = sources(names, report)
    for source in found.logs:
        columns: dict[str, Column] = {}
        try:
            source.count = columns_of(source.pieces(), columns)
        except Unreadable as error:
            unreadable(source.path, error, report)
            continue
        kind = source.log.run if source.log.format in PARTS else None
        key = (source.format, *_taken(columns)) if kind is None else (source.format,)
        groups.setdefault(key, _Group()).add(source, columns)
    return Readings([_reading(group) for group in _joined(groups)], found.passed)


def _joined(groups: Mapping[tuple[object, ...], _Group]) -> list[_Group]:
    """The groups, where those that differ in their likeliest error but have a held-out error in common are one."""
    found: dict[tuple[object, ...], list[_Group]] = {}
    for key, group in groups.items():
        same = found.setdefault((key[0], *key[2:]), [])
        first = next((one for one in same if one.errors & group.errors), None)
        same.append(group) if first is None else first.join(group)
    return [group for same in found.values() for group in same]


@attrs.define
class _Group:
    """Logs that have the same columns."""

    logs: list[Source] = attrs.field(factory=list)
    columns: dict[str, Column] | None = attrs.field(factory=dict)
    """What they hold together. None: not known without reading all of them again."""
    first: tuple[str, ...] = ()
    """The columns of the first log."""
    errors: frozenset[str] = frozenset()
    """Columns of held-out errors that all logs have."""

    def add(self, log: Source, columns: Mapping[str, Column]) -> None:
        """Add a log with these columns."""
        found = frozenset(
            name for name, one in columns.items() if words.is_error(name) and words.is_held_out(name) and one.numbers
        )
        self.errors = self.errors & found if self.logs else found
        self.first = self.first or tuple(columns)
        self.logs.append(log)
        if self.columns is not None and not merge(self.columns, columns):
            self.columns = None if len(self.logs) > 1 else dict(columns)

    def join(self, other: _Group) -> None:
        """Add the logs of another group."""
        self.errors &= other.errors
        self.logs = sorted([*self.logs, *other.logs], key=lambda log: log.path)
        if self.columns is not None and (other.columns is None or not merge(self.columns, other.columns)):
            self.columns = None


def _taken(columns: Mapping[str, Column]) -> tuple[object, ...]:
    """The columns that a fit takes by their names: the likeliest error, what counts, axes and runs. Logs that differ in
    others belong together."""

    def key(name: str) -> tuple[bool, ...]:
        return (not words.is_held_out(name), words.is_training(name))

    error = min((name for name in columns if words.is_error(name)), key=key, default=None)
    compute = frozenset(name for name in columns if words.flops_of(name) is not None)
    steps = frozenset(name for name in columns if words.is_step(name))
    axes = frozenset(name for name, one in columns.items() if _may_be_axis(one) or words.plain(name) in RUNS)
    return error, compute or steps, axes, frozenset(columns) if error is None else None


def _may_be_axis(column: Column) -> bool:
    """Whether a column is named like an axis and holds values of its kind. `val/loss` is no name of a loss."""
    axis = axis_of(column.name)
    return axis is not None and is_named(axis) != column.numeric


def _reading(group: _Group) -> Reading:
    logs: Sequence[Source] = group.logs
    columns, count = group.columns, sum(log.count for log in logs)
    if columns is None:
        columns = {}
        columns_of(chain.from_iterable(log.pieces() for log in logs), columns)
    numerals = _numerals(columns)
    if len(numerals) == 1:
        for log in logs:
            log.log.numerals = numerals[0]
        columns = {}
        count = sum(columns_of(log.pieces(), columns) for log in logs)
    files = tuple(log.facts() for log in logs)
    folder = folder_of(files)
    logs, pattern, wide = _with_places(logs, files, folder, columns)
    pattern = None if pattern is None else _sayable(pattern, paths_of(files, folder), folder)
    if wide is None and all(log.given for log in logs) and not any(name in columns for name in logs[0].given):
        columns = _with_given(columns, group.first, logs)
    elif any(log.placed for log in logs):
        columns = {}
        count = sum(columns_of(log.pieces(), columns) for log in logs)
    return Reading(logs, files, columns, count, folder, pattern, wide, numerals)


def _with_given(columns: Mapping[str, Column], first: Sequence[str], logs: Sequence[Source]) -> dict[str, Column]:
    """The columns with those of the values that are given for each log, after the columns of the first log."""
    given = {name: Column(name) for name in logs[0].given}
    for log in logs:
        for name, column in given.items():
            column.add(log.given[name], log.count)
    return {**{name: columns[name] for name in first}, **given, **columns}


def _sayable(pattern: str, paths: Sequence[str], folder: str) -> str | None:
    """The pattern without line breaks, which a text in a `.shape` file cannot contain; None if there is none."""
    if not _BREAKS.search(pattern):
        return pattern
    found = _BREAKS.sub("?", pattern)
    return found if only(Template(found).pattern, paths, folder) else None


def _numerals(columns: Mapping[str, Column]) -> tuple[Numerals, ...]:
    """The notations that the numbers of a table may be in, if they are not plain."""
    axes = [name for name in columns if axis_of(name) is not None]
    found = with_commas(columns, axes)
    if found:
        return notations(cell for column in found for cell in column.commas)
    return ("decimal_comma", "plain") if with_dots(columns) else ()


def _with_places(
    logs: Sequence[Source], files: Sequence[FileFacts], folder: str, columns: Mapping[str, Column]
) -> tuple[Sequence[Source], str | None, str | None]:
    """Add values of axes from the names of columns and files, and from configurations next to the files, to the rows of
    logs. Returns the logs; the pattern that matches the files; and the template of the error columns, if a table has
    one column per run."""
    wide = wide_of(list(columns))
    if wide is not None:
        logs = [attrs.evolve(log, read=partial(_long, log, wide), read_pieces=None, placed=True) for log in logs]
    paths = paths_of(files, folder)
    held = _held(logs, columns)
    places = None if wide is not None else places_of(paths, held)
    if places is not None and only(Template(places.template).pattern, paths, folder):
        values = {log.path: places.values[path] for log, path in zip(logs, paths, strict=True)}
        if PART in Template(places.template).places:
            joined = [Path(Template(places.template).without_part(path)) for path in paths]
            logs = [attrs.evolve(log, run_of_part=run) for log, run in zip(logs, joined, strict=True)]
        known = _beside(logs, {*held, *places.axes}, others=False)
        said = [{**known.get(log.path, {}), **values[log.path]} for log in logs]
        given = [{name: value for name, value in each.items() if name != PART} for each in said]
        return [_given(log, each) for log, each in zip(logs, given, strict=True)], places.template, None
    if (whole := _of_runs(logs, folder, paths, held)) is not None:
        return whole
    if wide is None and (known := _beside(logs, held, others=not held)):
        logs = [_given(log, known[log.path]) for log in logs]
    return logs, pattern_of(files, folder), None if wide is None else wide.template


def _held(logs: Sequence[Source], columns: Mapping[str, Column]) -> frozenset[str]:
    """The numeric axes that vary in the columns of the files. What only counts the rows of each file is none."""
    varied = [name for name, one in columns.items() if _of_numbers(name) and one.numeric and not one.constant]
    if not varied:
        return frozenset()
    rows = [{**row, FILE: str(at)} for at, log in enumerate(logs[:LOOKED_AT]) for row in islice(log.read(), FIRST)]
    return frozenset(axis for name in varied if (axis := axis_of(name)) and not counts_up(rows, name, [FILE]))


def _of_runs(
    logs: Sequence[Source], folder: str, paths: Sequence[str], held: Collection[str]
) -> tuple[Sequence[Source], str | None, str | None] | None:
    """The same for runs whose logs are several files, with values in the names of their folders. None for others."""
    runs = [Path(os.path.relpath(os.path.realpath(log.run), os.path.realpath(folder))).as_posix() for log in logs]
    places = places_of(list(dict.fromkeys(runs)), held) if logs[0].log.format in PARTS else None
    if places is None:
        return None
    for tail in (METRICS, EVENTS):
        template = f"{places.template}/{tail}"
        if only(Template(template).pattern, paths, folder):
            pairs = zip(logs, runs, strict=True)
            return [_given(log, places.values[run]) for log, run in pairs], template, None
    return None


def _beside(logs: Sequence[Source], held: Collection[str], *, others: bool) -> dict[Path, dict[str, str]]:
    """Log -> the values of axes in the configuration next to it, but for those that are known (`held`). If no axis
    differs there, those of `others`: keys that hold whole numbers and differ, of which one may be an axis. Empty if
    nothing differs, or not all have one."""
    values = {log.path: beside(log.path) for log in logs}
    shared = set.intersection(*(set(each) for each in values.values()))
    varied = [key for key in sorted(shared) if len({each[key] for each in values.values()}) > 1]
    first = {axis_of(key): key for key in sorted(varied, key=_nested, reverse=True) if _of_numbers(key)}
    keys = [key for axis, key in first.items() if axis not in held]
    if others and not first:
        keys = [key for key in varied if all(_may_be_size(each[key]) for each in values.values())]
    keys = [key for key in keys if "." not in key or key.rpartition(".")[2] not in keys][:MOST_KEYS]
    return {path: {key: each[key] for key in keys} for path, each in values.items()} if keys else {}


def _nested(key: str) -> tuple[int, str]:
    return key.count("."), key


def _may_be_size(cell: str) -> bool:
    value = number(cell)
    return isinstance(value, float) and value >= 2 and value.is_integer()


def _of_numbers(column: str) -> bool:
    """Whether a column has the usual name of a numeric axis."""
    axis = axis_of(column)
    return axis is not None and not is_named(axis)


def _long(log: Source, wide: Places) -> Iterator[Row]:
    return long_rows(log.read(), wide)


def _given(log: Source, values: Mapping[str, str]) -> Source:
    """The log with the same values in all rows."""

    def read() -> Iterator[Row]:
        return ({**row, **values} for row in log.read())

    def pieces(wanted: Wanted | None) -> Iterator[Piece]:
        for piece in log.pieces(wanted):
            yield piece.given(values) if isinstance(piece, Block) else {**piece, **values}

    return attrs.evolve(log, read=read, read_pieces=pieces, placed=True, given=values)


def _highest(pieces: Iterable[Piece], name: str) -> float:
    """The highest number of a column; 0 without one."""
    column = Column(name)
    for piece in pieces:
        if isinstance(piece, Block):
            column.add_all(piece.cells[name])
        else:
            column.add(piece.get(name))
    return column.high if column.numbers else 0.0
