"""Walks over folders of other people: how much is looked at, and what is never entered."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import attrs

from shapeflow.base.bounds import bound
from shapeflow.base.diagnostics import Diagnostic, Refused

T = TypeVar("T")
What = Literal["logs", "data"]

PSEUDO = ("/dev", "/proc", "/sys")
"""Folders whose files are made by the system when they are read. Some have no end, others wait for an event."""
MEMORY = "/dev/shm"
"""A folder in memory, which holds ordinary files."""
_BOUNDS = {"logs": "SHAPEFLOW_MOST_LOG_ENTRIES", "data": "SHAPEFLOW_MOST_DATA_ENTRIES"}
_INSTEAD = {
    "logs": "name the folder of the logs, or a pattern such as `runs/*/metrics.csv`",
    "data": "name the folder of the data",
}


def is_pseudo(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to files that the system makes."""
    return is_pseudo_real(os.path.realpath(path))


def is_pseudo_real(path: str) -> bool:
    """The same of a path without links."""
    return _within(path, PSEUDO) and not _within(path, (MEMORY,))


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@attrs.define
class Entries:
    """Counts the files and folders below a place that are looked at. `most`: a lower limit than that of the setting."""

    place: str
    what: What
    most: int | None = None
    count: int = 0

    def add(self, count: int) -> None:
        """Count some more. Raises Refused `too-many-entries` above the limit."""
        self.count += count
        name = _BOUNDS[self.what]
        if self.count <= (most := min(bound(name), self.most or self.count)):
            return
        message = f"`{self.place}` holds more than {most:,} files and folders"
        notes = (f"{self.count:,} were counted, and there are more", f"`{name}` sets the limit")
        raise Refused(Diagnostic("too-many-entries", message, place=self.place, notes=notes, help=_INSTEAD[self.what]))

    def each(self, entries: Iterable[T]) -> Iterator[T]:
        """Yield what is counted."""
        for entry in entries:
            self.add(1)
            yield entry
