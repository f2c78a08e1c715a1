"""The logs that the command line names: files, folders of files, and run folders of shapeflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.base.files import real
from shapeflow.doctor.facts import FileFacts
from shapeflow.laws.logs.discover import Discovered, discover
from shapeflow.laws.logs.matches import matches
from shapeflow.laws.logs.readers import Log, MissingExtra, Piece, Row, Unreadable, Wanted, open_log
from shapeflow.laws.logs.run_folders import EVENTS, is_run, plan_of, shapes_of

NEAR = 1000
"""At most this many files of a folder are searched for a similar name."""
RUN_FOLDER = "shapeflow run"


@attrs.define
class Source:
    """One log, and how its rows are read."""

    path: Path
    log: Log
    read: Callable[[], Iterator[Row]]
    format: str
    read_pieces: Callable[[Wanted | None], Iterator[Piece]] | None = None
    """How its rows are read in blocks; None: one by one."""
    count: int = 0
    given: Mapping[str, str] = attrs.field(factory=dict)
    """The values of axes that its rows have in addition to those in the file."""
    placed: bool = False
    """Whether its rows include values of axes from the names of files or columns."""

    run_of_part: Path | None = None
    """What the files of its run have in common, if its log is several files."""

    @property
    def run(self) -> Path:
        """What identifies its run."""
        return self.run_of_part or self.log.run

    def pieces(self, wanted: Wanted | None = None) -> Iterator[Piece]:
        """The rows, in blocks of the wanted columns where possible. None: all columns."""
        return self.read() if self.read_pieces is None else self.read_pieces(wanted)

    def facts(self) -> FileFacts:
        """The facts about the file, for the rows that were read so far."""
        log = self.log
        return FileFacts(
            name=self.path.as_posix(),
            format=self.format,
            rows=self.count,
            torn=log.torn,
            broken=log.broken,
            sampled=log.sampled,
            notes=tuple(log.notes),
        )


@attrs.frozen
class Sources:
    """The logs that the command line names."""

    logs: list[Source]
    passed: int = 0
    """The number of files in folders that are not logs."""


def sources(names: Sequence[str], report: Report) -> Sources:
    """The logs for names, patterns and folders, each once. Reports `no-such-logs`, `unreadable-log` and
    `missing-extra`."""
    found: dict[Path, Source] = {}
    passed = 0
    for name in names:
        paths = [Path(name)] if os.path.exists(name) else [Path(one) for one in matches(name, "")]
        if not paths:
            near = [str(path) for path in islice(Path(name).parent.glob("*"), NEAR)]
            close = did_you_mean(name, near)
            help = f"did you mean `{close}`?" if close else "name files, folders, or a quoted pattern"
            report.error("no-such-logs", f"no file matches `{name}`", place=name, help=help)
        for path in paths:
            inner = discover(path) if path.is_dir() and not is_run(path) else Discovered((path,))
            passed += inner.passed
            if not inner.logs:
                report.error("unreadable-log", f"`{path}` contains no logs", place=str(path), help=_HELP)
            for log in inner.logs:
                if (one := _read(log, report)) is not None:
                    found.setdefault(real(one.path), one)
    return Sources(list(found.values()), passed)


def _read(path: Path, report: Report) -> Source | None:
    """The log at a path. None after an error."""
    try:
        return _source(path)
    except (Unreadable, OSError) as error:
        unreadable(path, error, report)
        return None


_HELP = "name log files, or folders that `shapeflow run` or `shapeflow sweep` wrote"


def unreadable(path: Path, error: Exception, report: Report) -> None:
    """Report a log that cannot be read (`missing-extra`, `unreadable-log`)."""
    why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    if isinstance(error, MissingExtra):
        help = f"`pip install 'shapeflow[{error.extra}]'`"
        report.error(
            "missing-extra", f"`{path}` cannot be read without an extra", place=str(path), notes=[why], help=help
        )
        return
    message = f"`{path}` is not a log that shapeflow can read"
    report.error("unreadable-log", message, place=str(path), notes=[why], help=_HELP)


def _source(path: Path) -> Source:
    if path.name == EVENTS and is_run(path.parent):
        path = path.parent
    if not path.is_dir():
        log = open_log(path)
        return Source(path, log, log.rows, log.format, log.pieces)
    plan, log = plan_of(path), open_log(path / EVENTS, whole=True)
    if not plan:
        raise Unreadable("its plan cannot be read")
    shapes = shapes_of(plan)
    source = Source(path, log, lambda: _measured(shapes[0], path, log), RUN_FOLDER)
    if len(shapes) > 1:
        source.format = f"{RUN_FOLDER}, changing shape"
    elif plan.get("schedule") is not None:
        source.format = f"{RUN_FOLDER}, falling learning rate"
    return source


def _measured(shape: Mapping[str, Any], folder: Path, log: Log) -> Iterator[Row]:
    """A row for each measurement of a run."""
    for event in log.rows():
        if event.get("event") == "measured" and isinstance(event.get("values"), dict):
            yield {
                "run": folder.name,
                **shape,
                "step": event.get("step"),
                "compute": event.get("compute"),
                **event["values"],
            }
