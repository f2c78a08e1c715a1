"""Detect W&B exports: the history of a run, or the lines of a chart, as CSV or parquet."""

from __future__ import annotations

from collections.abc import Sequence

from shapeflow.laws.logs.readers.log import Log

EXTREMES = ("__MIN", "__MAX")
"""Suffixes of the columns that a chart export adds for each line: the extremes over merged steps."""


def mark(log: Log, columns: Sequence[str]) -> None:
    """Set `log.sampled` if the columns are those of a W&B export, which may be a sample of the logged rows."""
    history = "_step" in columns and ("_runtime" in columns or "_timestamp" in columns)
    chart = any(column.endswith(EXTREMES) and column[: -len(EXTREMES[0])] in columns for column in columns)
    if history or chart:
        log.sampled = True
        log.notes.append("it is " + ("the history" if history else "a chart") + " of a W&B run, exported")
