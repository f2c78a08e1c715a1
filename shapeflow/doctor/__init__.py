"""Inspects logs and proposes `.shape` sentences that fit laws to them: `shapeflow doctor`.

The logs are read three times: for the contents of the columns, for their roles, and for the curves. Only some rows are
kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.doctor.curves import curves_of, facts_of
from shapeflow.doctor.facts import ColumnFacts, CurveFacts, Examined, FileFacts, Table
from shapeflow.doctor.proposal import advice_of, sentences_of
from shapeflow.doctor.reading import Reading, readings
from shapeflow.doctor.roles import Roles, roles_of

__all__ = ["ColumnFacts", "CurveFacts", "Examined", "FileFacts", "Table", "examine"]


def examine(names: Sequence[str], report: Report) -> Examined:
    """Inspect logs, given as files, folders of files, folders of runs, or patterns.

    Reports `no-such-logs`, `unreadable-log` and `missing-extra`; the result still contains every log that can be read.
    """
    return Examined(tables=tuple(map(_table, readings(names, report))))


def _table(reading: Reading) -> Table:
    """The facts and the proposal for logs that have the same columns."""
    columns, files, pattern, wide = reading.columns, reading.files, reading.pattern, reading.wide
    roles = roles_of(columns, reading.some())
    curves = curves_of(reading.tables(), roles) if _complete(roles) else {}
    facts = facts_of(curves)
    sentences: tuple[str, ...] = ()
    if facts is not None and pattern is not None and _may_fit(roles):
        sentences = sentences_of(list(columns), roles, curves, facts, pattern)
    return Table(
        files=files,
        columns=tuple(column.facts(reading.count, *roles.of.get(name, ("", ""))) for name, column in columns.items()),
        curves=facts,
        sentences=sentences,
        needs_model=bool(sentences) and not roles.compute,
        folder=reading.folder,
        advice=tuple(advice_of(files, columns, roles, facts, pattern, wide))
        if reading.count
        else ("the log has no rows",),
    )


def _complete(roles: Roles) -> bool:
    return bool(roles.errors and (roles.compute or roles.step))


def _may_fit(roles: Roles) -> bool:
    """Whether the roles include everything that a fit to runs of constant shape needs."""
    return bool((roles.compute or roles.step) and roles.axes) and (roles.where is not None or not roles.moved)
