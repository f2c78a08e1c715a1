"""Tables that are read in blocks of columns: they yield the same rows, facts and errors as when read row by row."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from test_laws_logs import ask

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.doctor.curves import curves_of, progress_of, wanted_of
from shapeflow.doctor.names import axis_words
from shapeflow.laws.logs import kept, runs
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.finding.roles import roles_of
from shapeflow.laws.logs.finding.summary import Column, columns_of
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Log, Unreadable, delimited, lines, open_log

pytest.importorskip("pyarrow", reason="tables are read in blocks by pyarrow")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of some rows, and runs that are thinned early."""
    monkeypatch.setattr(delimited, "LARGE", 0)
    monkeypatch.setattr(lines, "FIRST", 4000)
    monkeypatch.setattr(lines, "BLOCK", 6000)
    for module in (kept, runs):
        monkeypatch.setattr(module, "MOST", 60)


def table(rng: random.Random, separator: str = ",", rows: int = 900, mixed: bool = False) -> list[str]:
    """The lines of a table of six runs. `mixed`: rows of all runs take turns."""
    made = []
    for index in range(rows):
        run, step = (index % 6, index // 6) if mixed else (index * 6 // rows, index % (rows // 6))
        loss = 2 + 3 * (step + 1) ** -0.3 + rng.gauss(0, 0.01)
        cells = (f"r{run}", 64 << run % 3, step, 6.0e9 * step * (64 << run % 3), 0.001, f"{loss:.6f}")
        made.append(separator.join(map(str, cells)))
    return [separator.join(("run", "width", "step", "flops", "lr", "loss")), *made]


CELLS = (
    "", " ", "nan", "NaN", "inf", "-inf", "NA", "1,5", "1 000", "1e400", "1e-400", "+3", " 2.5 ", "0x10", "1_000", "x",
    "３", "-0", "0", "-1", "é", '"2.5"', '"a""b"', '"a,b"', '"two\nlines"', 'a"b', "nan(1)", "infinity", "1.", ".5",
    "2e", "12345678901234567890", "9007199254740993", "true", "\u00a0", "\x1f", "\x85",
)  # fmt: skip
"""Cells that readers may take differently."""


def damaged(lines_: list[str], rng: random.Random, separator: str) -> bytes:
    """A table with some changes."""
    for _ in range(rng.choice((1, 1, 3, 10))):
        at = rng.randrange(1, len(lines_))
        cells = lines_[at].split(separator)
        cells[rng.randrange(len(cells))] = rng.choice(CELLS)
        lines_[at] = rng.choice((
            separator.join(cells), separator.join(cells), separator.join(cells), separator.join(cells[:-1]),
            separator.join((*cells, "1")), "", "  ", separator * 5, "\ufeff" + lines_[at], lines_[at] + "\r",
            lines_[at] + "\r\r", "\t" * 5, lines_[at].replace(separator, separator + " "),
            lines_[rng.randrange(at) or 1],
        ))  # fmt: skip
    data = rng.choice(("\n", "\n", "\n", "\r\n")).join(lines_).encode() + rng.choice((b"\n", b"\n", b""))
    if rng.random() < 0.2:
        data = data[: -rng.randrange(1, 30)]
    if rng.random() < 0.1:
        at = rng.randrange(len(data))
        data = data[:at] + rng.choice((b"\0", b"\xff", b"\r", b'"')) + data[at:]
    return data


def summary(path: Path, blocks: bool) -> tuple[Any, ...]:
    """What columns hold, and the facts about the file."""
    columns: dict[str, Column] = {}
    log = open_log(path)
    try:
        count = columns_of(log.pieces() if blocks else log.rows(), columns)
    except Unreadable as error:
        return (str(error),)
    return count, columns, list(columns), log.sha256, log.torn, log.broken, log.notes, log.uniform


def curves(path: Path, blocks: bool, stepped: bool = False) -> Any:
    """The runs that doctor finds. `stepped`: by their steps."""
    columns: dict[str, Column] = {}
    log = open_log(path)
    try:
        columns_of(log.rows(), columns)
        roles = roles_of(columns, [{**row, "\0file": ""} for row in log.rows()], axis_words())
        progress = progress_of(columns, roles, None) if stepped else None
        if not roles.errors or not roles.compute:
            return None
        found = curves_of([("", log.pieces(wanted_of(roles, progress)) if blocks else log.rows())], roles, progress)
    except Unreadable as error:
        return str(error)
    return [(key, list(run.points.items()), *facts(run)) for key, run in found.items()]


def facts(run: runs.Run) -> tuple[Any, ...]:
    counts = sorted(run.excluded.items()), run.repeated, run.falls, run.lower
    return sorted(run.rates.items()), run.end, run.spent, *counts


def fitted(path: Path, blocks: bool) -> Any:
    """The runs that a fit reads, with everything that it reports."""
    report = Report()
    widths = tuple(Shape.of({"width": width}) for width in (64, 128))
    request = attrs.evolve(ask(path.parent, metric="loss"), candidates=widths, units={"width": ""}, candidate_spans={})
    with pytest.MonkeyPatch.context() as patch:
        if not blocks:
            patch.setattr(Log, "pieces", lambda log, wanted=None: log.rows())
        found = read_logs(Query(path.name), request, report)
    if found is None:
        return report.diagnostics
    each = [(key, list(run.points.items()), *facts(run)) for key, run in found.runs.items()]
    return each, found.hashes, found.torn, found.broken, sorted(found.other_shapes.items()), report.diagnostics


@pytest.mark.parametrize("look", [summary, curves, partial(curves, stepped=True), fitted])
@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_table_is_the_same_in_blocks(tmp_path: Path, look: Callable[..., Any], seed: int) -> None:
    rng = random.Random(seed)
    separator = rng.choice((",", ",", "\t", ";"))
    path = tmp_path / "a.csv"
    path.write_bytes(damaged(table(rng, separator, mixed=rng.random() < 0.3), rng, separator))
    assert repr(look(path, blocks=True)) == repr(look(path, blocks=False))
