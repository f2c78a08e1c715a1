"""What logs hold, and the sentences that fit laws to them: `shapeflow doctor`.

Three readings, none of which holds more than some rows: what the columns hold, which of them is what, which curves they
make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shapeflow.diagnostics import Report
from shapeflow.doctor.columns import Column, columns_of
from shapeflow.doctor.curves import curves_of, facts_of
from shapeflow.doctor.facts import ColumnFacts, CurveFacts, Examined, FileFacts, Table
from shapeflow.doctor.proposal import advice_of, folder_of, pattern_of, sentences_of
from shapeflow.doctor.roles import Roles, roles_of
from shapeflow.doctor.sources import Source, sources, unreadable
from shapeflow.laws.readers import Row, Unreadable

__all__ = ["ColumnFacts", "CurveFacts", "Examined", "FileFacts", "Table", "examine"]

CELLS = 400_000
"""Cells that are looked at to tell what columns are."""


def examine(names: Sequence[str], report: Report) -> Examined:
    """What the logs of these names hold: files, folders of files, folders of runs, patterns.

    Errors: no-such-logs, unreadable-log, missing-extra; what can be read is told all the same.
    """
    groups: dict[tuple[str, ...], list[tuple[Source, dict[str, Column]]]] = {}
    for source in sources(names, report):
        columns: dict[str, Column] = {}
        try:
            source.count = columns_of(source.read(), columns)
        except Unreadable as error:
            unreadable(source.path, error, report)
            continue
        groups.setdefault((source.format, *sorted(columns)), []).append((source, columns))
    return Examined(tables=tuple(_table([source for source, _ in group]) for group in groups.values()))


def _table(logs: Sequence[Source]) -> Table:
    """What is found in logs of the same columns."""
    columns: dict[str, Column] = {}
    count = sum(columns_of(log.read(), columns) for log in logs)
    roles = roles_of(columns, list(_some(logs, len(columns))))
    files = tuple(log.facts() for log in logs)
    shown = tuple(column.facts(count, *roles.of.get(name, ("", ""))) for name, column in columns.items())
    folder = folder_of(files)
    curves = curves_of(((log.path.as_posix(), log.read()) for log in logs), roles) if _complete(roles) else {}
    facts = facts_of(curves)
    pattern = pattern_of(files, folder)
    sentences: tuple[str, ...] = ()
    if facts is not None and pattern is not None and _may_fit(roles):
        sentences = sentences_of(list(columns), roles, curves, facts, pattern)
    advice = tuple(advice_of(files, columns, roles, facts, pattern)) if count else ("it holds no rows",)
    return Table(files=files, columns=shown, curves=facts, sentences=sentences, folder=folder, advice=advice)


def _complete(roles: Roles) -> bool:
    return bool(roles.errors and (roles.compute or roles.step))


def _may_fit(roles: Roles) -> bool:
    """Is there all that a fit asks for, and is it of runs that stay in one shape?"""
    return bool(roles.compute and roles.axes) and (roles.where is not None or not roles.moved)


def _some(logs: Sequence[Source], width: int) -> Iterator[Row]:
    """Rows from the beginning of each log, as many as `CELLS` allows."""
    share = max(CELLS // max(width, 1) // len(logs), 1)
    for log in logs:
        for index, row in enumerate(log.read()):
            if index >= share:
                break
            yield row
