"""What W&B exports: a run's history, or the lines of a chart, as CSV or parquet."""

from __future__ import annotations

from collections.abc import Sequence

from shapeflow.laws.logs.readers.log import Log

EXTREMES = ("__MIN", "__MAX")
"""How the columns end that a chart's export puts beside each line: its extremes among the steps that were merged."""


def mark(log: Log, columns: Sequence[str]) -> None:
    """Say of a log with the columns of such an export that it may be a sample of what was logged."""
    history = "_step" in columns and ("_runtime" in columns or "_timestamp" in columns)
    chart = any(column.endswith(EXTREMES) and column[: -len(EXTREMES[0])] in columns for column in columns)
    if history or chart:
        log.sampled = True
        log.notes.append("it is " + ("the history" if history else "a chart") + " of a W&B run, exported")
