"""Training runs out of logs: tables (CSV, JSON-lines) and shapeflow's own run folders."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import attrs

from shapeflow.diagnostics import Report, did_you_mean
from shapeflow.json_text import parse_json
from shapeflow.laws.readers import Log, Row, Unreadable, number, open_log, same
from shapeflow.laws.runs import Logs, Query, Run, constant_until
from shapeflow.route import LawRequest
from shapeflow.shapes import Shape

HEAD = 200
"""Rows of a table that are looked at for its columns: JSON-lines rows need not be alike."""
NEAR = 1000
"""Files of a folder that are looked at for one of a like name."""
CONVENTION = "convention"
"""The column of a sweep's table that says how compute was counted."""
PLAN, EVENTS = "plan.json", "events.jsonl"


def read_logs(query: Query, request: LawRequest, report: Report) -> Logs | None:
    """The runs that the pattern finds. None after an error: `path-outside`, `no-such-logs`, `unreadable-log`,
    `missing-column`, `mixed-conventions`."""
    at = request.spans.get("paths", request.spans.get(""))
    outside = [query.pattern] if not _inside(request.folder, query.pattern) else []
    outside = outside or [path for path in _matches(query, request) if not _inside(request.folder, path)]
    if outside:
        report.error(
            "path-outside",
            f"`{outside[0]}` lies outside the folder of the file that names it",
            at,
            "leaves the folder",
            help="move the runs below the `.shape` file, or the file up to a folder that holds them",
        )
        return None
    if not _matches(query, request):
        _no_match(query, request, report)
        return None
    logs, before = Logs(), len(report.errors)
    reading = _Reading(query, request, report, logs)
    for path in _sources(query, request, logs):
        try:
            reading.run_folder(path) if path.is_dir() else reading.table(path)
        except Unreadable as error:
            message = f"`{reading.name(path)}` is no log that shapeflow can read"
            report.error(
                "unreadable-log", message, at, str(error), help="name logs only: CSV, JSON-lines or run folders"
            )
    return logs if len(report.errors) == before else None


def _matches(query: Query, request: LawRequest) -> list[str]:
    return sorted(glob.glob(query.pattern, root_dir=request.folder or ".", recursive=True))


def _no_match(query: Query, request: LawRequest, report: Report) -> None:
    """Report a pattern that matches nothing (`no-such-logs`), and what it may have meant."""
    folder = os.path.dirname(query.pattern)
    near = glob.glob(os.path.join(folder, "*"), root_dir=request.folder or ".")[:NEAR]
    close = did_you_mean(query.pattern, sorted(near))
    report.error(
        "no-such-logs",
        f"no file matches `{query.pattern}`",
        request.spans.get("paths", request.spans.get("")),
        "nothing is there",
        help=f"did you mean `{close}`?" if close else "paths are relative to the file that names them",
    )


def _inside(folder: str, path: str) -> bool:
    root, real = os.path.realpath(folder or "."), os.path.realpath(os.path.join(folder or ".", path))
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _sources(query: Query, request: LawRequest, logs: Logs) -> Iterator[Path]:
    """The files and run folders that the pattern names, each once."""
    seen: dict[Path, None] = {}
    for name in _matches(query, request):
        path = Path(request.folder or ".", name)
        if path.is_file():
            seen[path.parent if _is_run(path.parent) else path] = None
        elif _is_run(path):
            seen[path] = None
        else:
            inner = [
                child for child in _folders(path) if _is_run(child) and _inside(request.folder, str(child.absolute()))
            ]
            seen.update(dict.fromkeys(inner))
            if not inner:
                logs.skipped[name] = "neither a run's folder nor a folder of such"
    return iter(seen)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return []


def _is_run(path: Path) -> bool:
    return (path / PLAN).is_file() and (path / EVENTS).is_file()


@attrs.frozen
class _Columns:
    compute: str
    error: str
    step: str | None
    run: tuple[str, ...]
    axes: Mapping[str, str]


@attrs.frozen
class _Reading:
    query: Query
    request: LawRequest
    report: Report
    logs: Logs
    told: set[str] = attrs.field(factory=set)
    """What has been reported once: a sweep of many runs lacks a column many times."""

    def name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.request.folder or ".")).as_posix()

    def _close(self, file: Log) -> None:
        name = self.name(file.path)
        self.logs.hashes[name] = file.sha256
        if file.torn:
            self.logs.torn.append(name)
        if file.broken:
            self.logs.broken[name] += file.broken

    def table(self, path: Path) -> None:
        """Read one file of rows. Raises Unreadable."""
        file, name = open_log(path), self.name(path)
        rows = file.rows()
        head = list(islice(rows, HEAD))
        columns = self._columns(list(dict.fromkeys(key for row in head for key in row)), name) if head else None
        if columns is None:
            if not head:
                self.logs.skipped[name] = "it is empty"
            return
        known: dict[tuple[str, ...], Shape | None] = {}
        for row in chain(head, rows):
            if not all(same(row.get(column), value) for column, value in self.query.where.items()):
                continue
            cells = tuple(str(row.get(column)) for column in columns.axes.values())
            if cells not in known:
                known[cells] = self._candidate(row, columns.axes)
            shape = known[cells]
            if shape is None:
                self.logs.strangers[", ".join(f"{a}: {cell}" for a, cell in zip(columns.axes, cells, strict=True))] += 1
                continue
            if row.get(CONVENTION) and row[CONVENTION] != self.request.convention:
                self._other_convention(name, row[CONVENTION])
                return
            self._take(row, columns, shape, name)
        self._close(file)
        self._in_percent(name)

    def _in_percent(self, name: str) -> None:
        """Report errors above 1 of a metric that is a share (`error-above-one`)."""
        if not self.request.metric.partition("@")[0].endswith("_error") or "percent" in self.told:
            return
        values = (p.error for run in self.logs.runs.values() if run.file == name for p in run.points.values())
        if (highest := max(values, default=0.0)) > 1:
            self.told.add("percent")
            self.report.error(
                "error-above-one",
                f"`{name}` holds errors up to {highest:.4g}, and `{self.request.metric}` is a share, 0 to 1",
                self.request.spans.get("paths", self.request.spans.get("")),
                "is it in percent, or another metric?",
                help="divide a column in percent by 100, or name the column of the error by `error`",
            )

    def _take(self, row: Row, columns: _Columns, shape: Shape, name: str) -> None:
        key = (name, repr(shape), *(str(row.get(column)) for column in columns.run))
        run = self.logs.runs.setdefault(key, Run(shape, name))
        step = row.get(columns.step) if columns.step else None
        run.add(row.get(columns.compute), row.get(columns.error), step, self.query.flops)

    def _candidate(self, row: Row, axes: Mapping[str, str]) -> Shape | None:
        for shape in self.request.candidates:
            if all(same(row.get(column), shape[axis]) for axis, column in axes.items()):
                return shape
        return None

    def _columns(self, names: list[str], file: str) -> _Columns | None:
        """Which column is what; None after reporting `missing-column` for each that lacks."""
        query, metric = self.query, self.request.metric
        bare, missing = metric.partition("@")[0], False
        compute = self._column("compute", [query.compute] if query.compute else ["compute", "flops"], names, file)
        general = ["error"] if bare.endswith("error") else ["error", "loss"]
        taken = {query.axes.get(axis, axis) for axis in self.request.units}
        usual = [name for name in dict.fromkeys([metric, bare, *general]) if name not in taken]
        errors = [query.error] if query.error else usual
        error = self._column("error", errors, names, file)
        steps = [query.step] if query.step else ["step", "steps"]
        step = self._column("step", steps, names, file) if query.step else _first(steps, names)
        runs = (query.run,) if query.run else tuple(n for n in ("run", "run_name", "seed") if n in names)
        needed = [("run", query.run)] if query.run else []
        for setting, column in [*needed, *(("where", column) for column in query.where)]:
            missing |= self._column(setting, [column], names, file) is None
        axes: dict[str, str] = {}
        for axis in self.request.units:
            column = query.axes.get(axis, axis)
            varies = len({shape[axis] for shape in self.request.candidates}) > 1
            if varies or axis in query.axes or column in names:
                axes[axis] = column
                missing |= self._column("axes", [column], names, file) is None
        if missing or compute is None or error is None or (query.step and step is None):
            return None
        return _Columns(compute, error, step, runs, axes)

    def _column(self, setting: str, wanted: list[str], names: list[str], file: str) -> str | None:
        found = _first(wanted, names)
        if found is None and f"{setting} {wanted[0]}" not in self.told:
            self.told.add(f"{setting} {wanted[0]}")
            close = did_you_mean(wanted[0], names)
            self.report.error(
                "missing-column",
                f"`{file}` has no column {' or '.join(f'`{name}`' for name in wanted)}",
                self.request.spans.get(setting, self.request.spans.get("")),
                "names it" if setting in self.request.spans else f"`{setting}` is not set",
                notes=[f"its columns: {', '.join(names[:30])}"],
                help=f"did you mean `{close}`?" if close else f"say which column it is, by the setting `{setting}`",
            )
        return found

    def run_folder(self, folder: Path) -> None:
        """Read a folder that shapeflow wrote. Raises Unreadable."""
        name = self.name(folder)
        plan = _plan(folder / PLAN)
        if isinstance(plan, str):
            self.logs.skipped[name] = plan
            return
        shape = self._candidate(plan["stages"][0]["shape"], {axis: axis for axis in self.request.units})
        if shape is None:
            self.logs.strangers[", ".join(f"{a}: {v}" for a, v in plan["stages"][0]["shape"].items())] += 1
            return
        if plan.get("convention") != self.request.convention:
            self._other_convention(name, plan.get("convention"))
            return
        self._events(folder / EVENTS, Run(shape, self.name(folder / EVENTS), constant_until(plan)), name)

    def _other_convention(self, name: str, theirs: object) -> None:
        if "convention" in self.told:
            return
        self.told.add("convention")
        self.report.error(
            "mixed-conventions",
            f"`{name}` counts compute by `{theirs}`, this file by `{self.request.convention}`",
            self.request.spans.get("paths", self.request.spans.get("")),
            "FLOPs of two kinds cannot be compared",
            help=f"sweep again with the convention `{self.request.convention}`, or change the file's",
        )

    def _events(self, path: Path, run: Run, name: str) -> None:
        file = open_log(path)
        seen: dict[str, None] = {}
        for event in file.rows():
            if event.get("event") == "measured" and isinstance(event.get("values"), dict):
                seen.update(dict.fromkeys(event["values"]))
                value = event["values"].get(self.request.metric)
                run.add(event.get("compute"), value, event.get("step"), 1.0)
            elif event.get("event") == "run_started" and isinstance(step := number(event.get("step")), float):
                run.come_back(step)
        self._close(file)
        if seen and self.request.metric not in seen:
            self._column("error", [self.request.metric], list(seen), name)
        self.logs.runs[name, repr(run.shape)] = run


def _first(wanted: list[str], names: list[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _plan(path: Path) -> dict[str, Any] | str:
    """A run's plan, or why its run is no run of one shape."""
    try:
        plan = parse_json(path.read_bytes())
        stages = plan["stages"]
        shapes = [dict(stage["shape"]) for stage in stages]
    except (OSError, ValueError, KeyError, TypeError):
        return "its plan cannot be read"
    if not stages or any(shape != shapes[0] for shape in shapes):
        return "it changes shape on the way: a law is fitted to runs of one shape"
    if any(stage.get("blends") for stage in stages):
        return "it blends shapes: a law is fitted to runs of one shape"
    return dict(plan)
