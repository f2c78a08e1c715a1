"""Find logs by a pattern and read their runs: files in any format of `readers/`, and run folders of shapeflow."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.columns import Finder
from shapeflow.laws.logs.compared import report_compute, report_percent
from shapeflow.laws.logs.counter import report_counters
from shapeflow.laws.logs.discover import discover
from shapeflow.laws.logs.error_columns import one_error
from shapeflow.laws.logs.log_files import read_table
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.matches import ANY, matches
from shapeflow.laws.logs.mistaken import leave_out_copies, report_restarted_compute, report_restarts
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import MissingExtra, Unreadable
from shapeflow.laws.logs.run_folders import is_run, read_run
from shapeflow.laws.logs.runs import Logs
from shapeflow.laws.logs.template import Template

NEAR = 1000
"""Maximum number of files of a folder that are searched for a similar name."""


def read_logs(query: Query, request: LawRequest, report: Report) -> Logs | None:
    """Return the runs in the logs that match the pattern. None after an error: `path-outside`, `no-such-logs`,
    `unreadable-log`, `missing-extra`, `missing-column`, `unknown-place`, `mixed-conventions`, `odd-compute`,
    `error-above-one`."""
    before = len(report.errors)
    search = read_each(query, request, report, read_run, read_table)
    if search is not None and query.error is None and len(report.errors) == before:
        search = _by_one_error(search)
    if search is None:
        return None
    report_percent(search.logs, request, report)
    search.logs.error = query.error or next((found[0] for found in search.logs.errors.values()), None)
    leave_out_copies(search.logs)
    report_restarts(search.logs, request, report)
    report_counters(search.logs.runs, request, report)
    report_compute(search.logs, query, request, report)
    for run in search.logs.runs.values():
        run.finish()
    report_restarted_compute(search.logs, request, report)
    return search.logs if len(report.errors) == before else None


def _by_one_error(search: LogSearch) -> LogSearch | None:
    """Return the logs read by one error column. If each file was read by its likeliest one and these differ, the logs
    are read again. None after an error: no column is the error of all of them."""
    query, request, report = search.query, search.request, search.report
    before = len(report.errors)
    error = one_error(search.logs, request, report)
    if len(report.errors) > before:
        return None
    if error is None or all(found[0] == error for found in search.logs.errors.values()):
        return search
    return read_each(attrs.evolve(query, error=error), request, report, read_run, read_table)


def read_each(
    query: Query,
    request: LawRequest,
    report: Report,
    run: Callable[[LogSearch, Path], None],
    table: Callable[[LogSearch, Path, Mapping[str, str]], None],
) -> LogSearch | None:
    """Call `run` with each run folder that matches the pattern, and `table` with each file and the values that its path
    states. Both may raise Unreadable, which is reported. None after an error in the pattern: `path-outside`,
    `no-such-logs`, `unknown-place`."""
    before = len(report.errors)
    finder = Finder(query, request, report)
    finder.check_places()
    template = finder.template(query.pattern)
    if len(report.errors) > before or not _may_read(template, request, report):
        return None
    logs = Logs()
    sources = _sources(template, request, logs)
    search = LogSearch(query, request, report, logs, finder, [path for path in sources if path.is_file()])
    for path, given in sources.items():
        try:
            run(search, path) if path.is_dir() else table(search, path, given)
        except Unreadable as error:
            _unreadable(search, path, error)
    return search


def _may_read(template: Template, request: LawRequest, report: Report) -> bool:
    """Return whether the pattern matches files, all in the folder of the `.shape` file or below. Report errors
    (`path-outside`, `no-such-logs`)."""
    at = request.at("paths")
    paths = matches(template.pattern, request.folder) if _inside(request.folder, template.pattern) else [template.text]
    outside = [path for path in paths if not _inside(request.folder, path)]
    if outside:
        report.error(
            "path-outside",
            f"`{outside[0]}` lies outside the folder of the file that names it",
            at,
            "leaves the folder",
            help="move the runs into the folder of the `.shape` file, or the file into a folder above them",
        )
    elif not paths:
        folder = os.path.dirname(template.pattern)
        near = glob.glob(os.path.join(folder, "*"), root_dir=request.folder or ".")[:NEAR]
        close = did_you_mean(template.text, sorted(near))
        help = f"did you mean `{close}`?" if close else "paths are relative to the file that names them"
        report.error("no-such-logs", f"no file matches `{template.text}`", at, "nothing is there", help=help)
    return bool(paths) and not outside


def _inside(folder: str, path: str) -> bool:
    root, real = os.path.realpath(folder or "."), os.path.realpath(os.path.join(folder or ".", path))
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _sources(template: Template, request: LawRequest, logs: Logs) -> dict[Path, Mapping[str, str]]:
    """Return the files and run folders that match the pattern, each once, with the values that the path states:
    axis, or `run` -> value."""
    found: dict[Path, Mapping[str, str]] = {}
    for name in matches(template.pattern, request.folder):
        path = Path(request.folder or ".", name)
        given = template.path(Path(name).as_posix())
        if path.is_file() and is_run(path.parent):
            found[path.parent] = {}
        elif path.is_file() and given is not None:
            found[path] = given
        elif is_run(path):
            found[path] = {}
        else:
            inner = [] if path.is_file() else _runs_in(path, request)
            if path.is_dir() and not inner and ANY not in template.pattern:
                logs_in = discover(path)
                inner = [one for one in logs_in.logs if _inside(request.folder, str(one.absolute()))]
                if inner and logs_in.passed:
                    logs.skipped[name] = f"of the files in it, {logs_in.passed} are not logs"
            found.update({child: {} for child in inner})
            if path.is_dir() and not inner and ANY in template.pattern:
                continue
            if path.is_file():
                logs.skipped[name] = "the text in the place of an axis is not a value of that axis"
            elif not inner:
                logs.skipped[name] = "neither a run's folder nor a folder of such"
    return found


def _runs_in(path: Path, request: LawRequest) -> list[Path]:
    """Return the run folders in a folder. As for `*`, hidden ones do not count: a killed process may leave a copy of a
    run that it was about to replace."""
    try:
        folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []
    return [child for child in folders if is_run(child) and _inside(request.folder, str(child.absolute()))]


def _unreadable(search: LogSearch, path: Path, error: Unreadable) -> None:
    """Report a file that cannot be read (`unreadable-log`), or that needs a package that is not installed
    (`missing-extra`)."""
    at = search.request.at("paths")
    if isinstance(error, MissingExtra):
        if error.extra not in search.reported:
            help = f"`pip install 'shapeflow[{error.extra}]'`"
            search.report.error(
                "missing-extra", f"`{search.name(path)}` cannot be read here", at, str(error), help=help
            )
        search.reported.add(error.extra)
        return
    message = f"`{search.name(path)}` is not a log that shapeflow can read"
    help = "name logs only: tables, JSON, parquet, event files of TensorBoard, or run folders"
    search.report.error("unreadable-log", message, at, str(error), help=help)
