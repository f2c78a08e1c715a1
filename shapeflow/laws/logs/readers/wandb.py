"""Detect W&B exports: the history of a run, the lines of a chart, or the table of runs, as CSV or parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from shapeflow.laws.logs.readers.block import Block
from shapeflow.laws.logs.readers.log import Log, Piece

SomePiece = TypeVar("SomePiece", bound=Piece)

EXTREMES = ("__MIN", "__MAX")
"""Suffixes of the columns that a chart export adds for each line: the extremes over merged steps."""
OF_RUNS = {"Name", "State"}
"""Columns of every table of runs. Next to them are the configuration of each run, and its summary."""
UNFINISHED = {"crashed", "failed", "killed", "running", "pending", "preempted", "preempting"}
"""States of a run that did not reach its end."""


def mark(log: Log, columns: Sequence[str]) -> None:
    """Set `log.sampled` if the columns are those of a W&B export, which may be a sample of the logged rows."""
    if set(columns) >= OF_RUNS:
        return
    history = "_step" in columns and ("_runtime" in columns or "_timestamp" in columns)
    chart = any(column.endswith(EXTREMES) and column[: -len(EXTREMES[0])] in columns for column in columns)
    if history or chart:
        log.sampled = True
        log.notes.append("it is " + ("the history" if history else "a chart") + " of a W&B run, exported")


def finished(log: Log, rows: Iterable[SomePiece]) -> Iterator[SomePiece]:
    """Yield the rows of a table of runs without those of runs that did not finish, which are counted in the log. Yields
    all rows of other tables. A table of runs is not in blocks."""
    of_runs = False
    for row in rows:
        if isinstance(row, Block):
            yield row
            continue
        of_runs = row.keys() >= OF_RUNS
        state = str(row.get("State")).lower() if of_runs else ""
        if state in UNFINISHED:
            log.unfinished[state] += 1
        else:
            yield row
    if of_runs:
        log.notes.append("it is a table of W&B runs: a row holds the configuration and the summary of a run")
    if count := log.unfinished.total():
        states = ", ".join(f"{number} {state}" for state, number in log.unfinished.items())
        log.notes.append(f"{count} runs did not finish and are left out: {states}")
