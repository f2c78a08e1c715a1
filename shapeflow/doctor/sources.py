"""The logs that the command line names: files, folders of files, and run folders of shapeflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.doctor.facts import FileFacts
from shapeflow.laws.logs.matches import matches
from shapeflow.laws.logs.readers import Log, MissingExtra, Row, Unreadable, open_log
from shapeflow.laws.logs.run_folders import EVENTS, is_run, plan_of, shapes_of

NEAR = 1000
"""At most this many files of a folder are searched for a similar name."""
DEEP = ("*", "*/*", "*/*/*")
"""Where logs are searched in a folder. The deepest is `runs/w64/checkpoint-1000/trainer_state.json`."""
RUN_FOLDER = "shapeflow run"


@attrs.define
class Source:
    """One log, and how its rows are read."""

    path: Path
    log: Log
    read: Callable[[], Iterator[Row]]
    format: str
    count: int = 0
    placed: bool = False
    """Whether its rows include values of axes from the names of files or columns."""

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


def sources(names: Sequence[str], report: Report) -> list[Source]:
    """The logs for names, patterns and folders, each once. Reports `no-such-logs`, `unreadable-log` and
    `missing-extra`."""
    found: dict[Path, Source] = {}
    for name in names:
        paths = [Path(name)] if os.path.exists(name) else [Path(one) for one in matches(name, "")]
        if not paths:
            near = [str(path) for path in islice(Path(name).parent.glob("*"), NEAR)]
            close = did_you_mean(name, near)
            help = f"did you mean `{close}`?" if close else "name files, folders, or a quoted pattern"
            report.error("no-such-logs", f"no file matches `{name}`", place=name, help=help)
        for path in paths:
            for one in _logs(path, report):
                found.setdefault(one.path.resolve(), one)
    return list(found.values())


def _logs(path: Path, report: Report) -> Iterator[Source]:
    """The log at a path, or the readable logs in a folder."""
    try:
        if path.is_dir() and not is_run(path):
            found = _inside(path)
            yield from found
            if not found:
                report.error("unreadable-log", f"`{path}` contains no logs", place=str(path), help=_HELP)
            return
        yield _source(path)
    except (Unreadable, OSError) as error:
        unreadable(path, error, report)


def _inside(folder: Path) -> list[Source]:
    """The logs in a folder. If it contains only folders, one per run, the logs in those."""
    for way in DEEP:
        # Hidden ones are leftovers of processes that were killed while writing.
        found = (path.relative_to(folder) for path in folder.glob(way))
        children = sorted(folder / path for path in found if not any(part.startswith(".") for part in path.parts))
        if any(os.path.isfile(child) or os.path.isfile(child / EVENTS) for child in children):
            return [one for child in children if (one := _quiet(child)) is not None]
    return []


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


def _quiet(path: Path) -> Source | None:
    """The log at a path inside a folder; None for any other file."""
    try:
        return _source(path) if os.path.isfile(path) or is_run(path) else None
    except (Unreadable, OSError):
        return None


def _source(path: Path) -> Source:
    if path.name == EVENTS and is_run(path.parent):
        path = path.parent
    if not path.is_dir():
        log = open_log(path)
        return Source(path, log, log.rows, log.format)
    plan, log = plan_of(path), open_log(path / EVENTS)
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
