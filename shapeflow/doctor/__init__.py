"""Inspects logs and proposes `.shape` sentences that fit laws to them: `shapeflow doctor`.

The logs are read three times: for the contents of the columns, for their roles, and for the curves. Only some rows are
kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.base.units import Amount
from shapeflow.doctor.advice import advice_of, of_one_process, rows_are_ends, unsettled
from shapeflow.doctor.compared import compared
from shapeflow.doctor.curves import by_tokens, curves_of, epochs_of, facts_of, progress_of, wanted_of
from shapeflow.doctor.ends import advice_of_ends, advice_of_rows, budgets_enough
from shapeflow.doctor.enough import Enough, advice_of_few, enough_of, is_small
from shapeflow.doctor.facts import ColumnFacts, CurveFacts, Examined, FileFacts, Table
from shapeflow.doctor.names import axis_words
from shapeflow.doctor.parts import advice_of_parts
from shapeflow.doctor.proposal import sentences_of
from shapeflow.doctor.rates import at_rate, rate_of
from shapeflow.doctor.reading import Reading, readings
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import Found
from shapeflow.laws.logs.finding.roles import Roles, roles_of
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.series import Progress

__all__ = ["ColumnFacts", "CurveFacts", "Examined", "FileFacts", "Table", "examine"]

SHOWN = 6
"""At most this many values of a column are shown."""


def examine(names: Sequence[str], report: Report, unit: Amount | None = None) -> Examined:
    """Inspect logs, given as files, folders or patterns. `unit`: what an epoch or a sample is,
    in steps, tokens or samples, for logs that count nothing else.

    Reports `no-such-logs`, `unreadable-log` and `missing-extra`; the result still contains every log that can be read.
    """
    found = readings(names, report)
    return Examined(tables=tuple(_table(each, unit) for each in found.each), passed=found.passed)


def _table(reading: Reading, unit: Amount | None) -> Table:
    """The facts and the proposal for logs that have the same columns."""
    columns, files, pattern = reading.columns, reading.files, reading.pattern
    roles = by_tokens(reading, roles_of(columns, reading.some(), axis_words()))
    progress = progress_of(columns, roles, unit)
    epochs = {} if progress is not None else epochs_of(reading, roles)
    known = epochs or progress
    if (rate := rate_of(reading, roles, known)) is not None:
        roles = at_rate(roles, rate, reading.some())
    # All runs count epochs in the same column.
    progress = next(iter(epochs.values()), progress)
    curves = curves_of(reading.pieces(wanted_of(roles, progress)), roles, known) if roles.errors else {}
    facts = facts_of(curves)
    odd = compared(reading, roles)
    sentences: tuple[str, ...] = ()
    enough = not roles.ends or budgets_enough(curves)
    percent = facts is not None and words.is_share(roles.errors[0]) and facts.error[1] > 1
    readable = (
        pattern is not None
        and len(reading.numerals) < 2
        and of_one_process(reading, roles) is None
        and not percent
        and not (odd and odd.refused)
        and not (facts and (facts.restarted or facts.goes_on or is_small(roles, facts)))
    )
    left = None if facts is None or roles.ends else enough_of(curves, roles, facts)
    kept = curves if left is None else left.curves
    if facts is not None and kept and enough and readable and _may_fit(roles, progress):
        sentences = sentences_of(reading, roles, kept, facts, progress, unit)
    return Table(
        files=files,
        columns=tuple(_column(column, reading.count, roles.of.get(name, Found())) for name, column in columns.items()),
        curves=facts,
        sentences=sentences,
        needs_model=bool(sentences) and not roles.compute,
        counts=_counts(roles, progress, unit),
        folder=reading.folder,
        advice=(*((odd.text,) if odd else ()), *_advice(reading, roles, facts, left, epochs, bool(sentences)))
        if reading.count
        else ("the log has no rows",),
    )


def _advice(
    reading: Reading,
    roles: Roles,
    facts: CurveFacts | None,
    left: Enough | None,
    epochs: Mapping[str, Progress],
    proposed: bool,
) -> Iterator[str]:
    """Problems, and how to fix them. `left`: the shapes with points enough; `epochs`: file -> what counts its steps, if
    a configuration says so; `proposed`: whether there are sentences."""
    yield from advice_of(reading, roles, facts, epochs, proposed)
    if facts is not None and rows_are_ends(reading.columns, roles, facts):
        yield from advice_of_ends(reading, roles, proposed)
    elif facts is not None and left is not None:
        yield from advice_of_few(left, roles, facts)
        if not left.curves:
            yield from advice_of_rows(reading, roles)
        yield from advice_of_parts(left.curves)


def _column(column: Column, rows: int, found: Found) -> ColumnFacts:
    """The facts about a column of this role."""
    kind = "empty" if not column.present else "text" if not column.numeric else "whole numbers"
    finite = column.numeric and column.numbers > 0
    return ColumnFacts(
        name=column.name,
        kind="numbers" if kind == "whole numbers" and not column.whole else kind,  # type: ignore[arg-type]
        low=column.low if finite else None,
        high=column.high if finite else None,
        distinct=None if column.many else len(column.values),
        values=tuple(column.values)[:SHOWN],
        blank=rows - column.present,
        not_finite=column.not_finite,
        odd=column.texts if column.numeric else 0,
        role=found.role,
        why=found.why,
        sure=found.sure,
    )


def _counts(roles: Roles, progress: Progress | None, unit: Amount | None) -> str | None:
    """What takes the place of compute, unless it is steps."""
    if progress is None or roles.compute or not progress.data:
        return None
    return "tokens" if progress.column == roles.tokens or (unit and unit.dimension == "tokens") else "images"


def _may_fit(roles: Roles, progress: Progress | None) -> bool:
    """Whether the roles include everything that a fit to runs of constant shape needs."""
    counted = bool((roles.compute or progress) and roles.axes) and not unsettled(roles)
    counted &= roles.kinds is None
    return counted and (roles.where is not None or not roles.moved)
