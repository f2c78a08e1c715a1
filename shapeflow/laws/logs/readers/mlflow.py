"""Reader of the metrics of MLflow's file store: `RUN/metrics/NAME`, a line `time value step` for each measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row

FOLDER = "metrics"
LINE = re.compile(r"(?P<time>\d{9,}) (?P<value>\S+) (?P<step>-?\d+)")


def folder_of(path: Path) -> Path | None:
    """Return the folder `metrics` that a file lies in. None if it is in none. The names of metrics may hold slashes."""
    return next((parent for parent in list(path.parents)[:8] if parent.name == FOLDER), None)


def is_metric(path: Path, first: str) -> bool:
    """Return whether a file is a metric, by its place and its first line."""
    return folder_of(path) is not None and LINE.fullmatch(first.strip()) is not None


def rows(log: Log) -> Iterator[Row]:
    """Yield a row for each line, with the name of the metric as column. Raises Unreadable."""
    folder = folder_of(log.path)
    assert folder is not None
    name = log.path.relative_to(folder).as_posix()
    lines = Lines(log)
    for line in lines:
        found = LINE.fullmatch(line.strip())
        if found is not None and lines.ended:
            yield {"step": found["step"], "timestamp": found["time"], name: found["value"]}
        elif lines.ended:
            log.broken += 1
        else:
            log.torn = True
