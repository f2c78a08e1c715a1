"""Find the logs in a folder, among whatever else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import attrs

from shapeflow.base.walk import Entries, is_pseudo
from shapeflow.laws.logs.beside import is_configuration
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.readers import PARTS, Log, Unreadable, number, open_log
from shapeflow.laws.logs.run_folders import EVENTS, is_run, plan_of

ROWS = 200
"""Rows of a file that show whether it is a log."""
COUNTERS = ("compute", "step", "tokens", "samples", "epochs")


@attrs.frozen
class Discovered:
    """What a folder contains."""

    logs: tuple[Path, ...]
    """Logs and run folders of the first level that holds any."""
    passed: int = 0
    """The number of other files in the folders that were looked at."""


def discover(folder: Path) -> Discovered:
    """Return the logs in a folder. Of nested folders, the first level that holds logs counts: deeper ones may hold
    copies of the same runs. Raises Refused `too-many-entries`."""
    passed = 0
    doubtful: list[Path] = []
    found: list[Path] = []
    for files, folders in _levels(folder):
        sure = [path for path in files if is_log(path) and (not found or _is_part(path))]
        passed += len(files) - len(sure)
        found += [*([] if found else [path for path in folders if is_run(path) and plan_of(path)]), *sure]
        # The log of one run may lie in several folders: a metric of MLflow is a file called after it.
        if found and not any(_is_part(path) for path in sure):
            return Discovered(tuple(found), passed)
        doubtful = doubtful or [path for path in files if _holds_rows(path)]
    return Discovered(tuple(found or doubtful), passed - (0 if found else len(doubtful)))


def _levels(folder: Path) -> Iterator[tuple[list[Path], list[Path]]]:
    """Yield the files and the folders of each level, each folder once. Hidden ones are leftovers of processes that were
    killed while writing. A run folder is not entered."""
    level, seen, entries = [folder], {os.path.realpath(folder)}, Entries(str(folder), "logs")
    while level:
        found = [path for each in level for path in _children(each, entries)]
        folders = [path for path in found if os.path.isdir(path)]
        yield [path for path in found if os.path.isfile(path)], folders
        inner = [path for path in folders if not is_run(path) and os.path.realpath(path) not in seen]
        seen.update(os.path.realpath(path) for path in inner)
        level = inner


def _children(folder: Path, entries: Entries) -> Sequence[Path]:
    if is_pseudo(folder):
        return []
    try:
        found = sorted(path for path in entries.each(folder.iterdir()) if not path.name.startswith("."))
    except OSError:
        return []
    return [path for path in found if not (path.is_symlink() and is_pseudo(path))]


def is_log(path: Path) -> bool:
    """Return whether a file is a log by its first rows: it has an error and something that counts, in several rows."""
    try:
        if is_configuration(path) or (path.name == EVENTS):
            return False
        log = open_log(path)
        rows = [dict(row) for row in islice(log.rows(), ROWS)]
    except (Unreadable, OSError):
        return False
    names = {name for row in rows for name, cell in row.items() if number(cell) != "blank"}
    if log.format in PARTS:
        return bool(rows)
    error = any(words.is_error(name.rpartition(" - ")[2]) or words.is_held_out(name) for name in names)
    return len(rows) > 1 and error and any(_counts(name) for name in names)


def _is_part(path: Path) -> bool:
    """Return whether a file is one of several that are the log of a run together."""
    try:
        return os.path.isfile(path) and open_log(path).format in PARTS
    except Unreadable:
        return False


def _counts(name: str) -> bool:
    return words.role_of(name) in COUNTERS or name in ("C", "D")


def _holds_rows(path: Path) -> bool:
    try:
        log: Log = open_log(path)
        return not is_configuration(path) and path.name != EVENTS and next(iter(log.rows()), None) is not None
    except (Unreadable, OSError):
        return False
