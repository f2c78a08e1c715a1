"""The logs that the command line names: files, folders of files, and folders that shapeflow wrote."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from shapeflow.diagnostics import Report, did_you_mean
from shapeflow.doctor.facts import FileFacts
from shapeflow.json_text import parse_json
from shapeflow.laws.readers import Log, MissingExtra, Row, Unreadable, open_log

PLAN, EVENTS = "plan.json", "events.jsonl"
NEAR = 1000
"""Files of a folder that are looked at for one of a like name."""
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
    """Do its rows tell what names say of axes, too?"""

    def facts(self) -> FileFacts:
        """As far as the rows have been read."""
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
    """The logs behind names, patterns and folders, each once. Reports no-such-logs, unreadable-log, missing-extra."""
    found: dict[Path, Source] = {}
    for name in names:
        paths = [Path(name)] if os.path.exists(name) else [Path(one) for one in sorted(glob.glob(name, recursive=True))]
        if not paths:
            near = [str(path) for path in islice(Path(name).parent.glob("*"), NEAR)]
            close = did_you_mean(name, near)
            help = f"did you mean `{close}`?" if close else "name files, folders, or a pattern in quotes"
            report.error("no-such-logs", f"no file matches `{name}`", place=name, help=help)
        for path in paths:
            for one in _logs(path, report):
                found.setdefault(one.path.resolve(), one)
    return list(found.values())


def _logs(path: Path, report: Report) -> Iterator[Source]:
    """What lies at a path; of a folder, what lies in it and can be read."""
    try:
        if path.is_dir() and not _is_run(path):
            children = sorted(path.iterdir())
            yield from (one for child in children if (one := _quiet(child)) is not None)
            if not any(child.is_file() or _is_run(child) for child in children):
                report.error("unreadable-log", f"`{path}` holds no logs", place=str(path), help=_HELP)
            return
        yield _source(path)
    except (Unreadable, OSError) as error:
        unreadable(path, error, report)


_HELP = "name files of rows, or folders that `shapeflow run` and `shapeflow sweep` wrote"


def unreadable(path: Path, error: Exception, report: Report) -> None:
    """Report what cannot be read (`missing-extra`, `unreadable-log`)."""
    why = str(error)
    if isinstance(error, MissingExtra):
        help = f"`pip install 'shapeflow[{error.extra}]'`"
        report.error("missing-extra", f"`{path}` cannot be read yet", place=str(path), notes=[why], help=help)
        return
    message = f"`{path}` is no log that shapeflow can read"
    report.error("unreadable-log", message, place=str(path), notes=[why], help=_HELP)


def _quiet(path: Path) -> Source | None:
    """A log in a folder; None for what is none: a folder may hold anything."""
    try:
        return _source(path) if path.is_file() or _is_run(path) else None
    except Unreadable:
        return None


def _is_run(path: Path) -> bool:
    return (path / PLAN).is_file() and (path / EVENTS).is_file()


def _source(path: Path) -> Source:
    if path.name == EVENTS and _is_run(path.parent):
        path = path.parent
    if not path.is_dir():
        log = open_log(path)
        return Source(path, log, log.rows, log.format)
    plan, log = _plan(path / PLAN), open_log(path / EVENTS)
    source = Source(path, log, lambda: _measured(plan, path, log), RUN_FOLDER)
    if len(_shapes(plan)) != 1:
        source.format = f"{RUN_FOLDER}, changing shape"
    return source


def _plan(path: Path) -> dict[str, Any]:
    try:
        plan = parse_json(path.read_bytes())
        if not isinstance(plan, dict) or not plan["stages"]:
            raise ValueError
        _shapes(plan)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable("its plan cannot be read") from None
    return plan


def _shapes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The different shapes of a plan's stages."""
    found: list[dict[str, Any]] = []
    for stage in plan["stages"]:
        if (shape := dict(stage["shape"])) not in found:
            found.append(shape)
    return found


def _measured(plan: dict[str, Any], folder: Path, log: Log) -> Iterator[Row]:
    """A row for each measurement of a run."""
    shape = _shapes(plan)[0]
    for event in log.rows():
        if event.get("event") == "measured" and isinstance(event.get("values"), dict):
            yield {
                "run": folder.name,
                **shape,
                "step": event.get("step"),
                "compute": event.get("compute"),
                **event["values"],
            }
