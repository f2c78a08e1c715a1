"""Runs that are not what they seem: copies of others, and counters that restarted."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import TypeVar

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.runs import Logs, Run

Key = TypeVar("Key")
FEWEST = 5
"""Fewest points that show it."""
LOWER = -0.05
"""If the steps that a run logged again have log errors lower by this (the median), its counter restarted: a run that
resumed repeats its errors."""


def copies_of(runs: Mapping[Key, Run]) -> dict[Key, Run]:
    """Return the runs whose points are all those of another run of their shape, as of a file that was copied, each with
    the run that it repeats."""
    kept: dict[tuple[object, ...], Run] = {}
    copies: dict[Key, Run] = {}
    for key, run in runs.items():
        points = (
            repr(run.shape),
            run.data,
            *((point.compute, point.error, point.step) for point in run.points.values()),
        )
        first = kept.setdefault(points, run)
        if first is not run and len(run.points) >= FEWEST:
            copies[key] = first
    return copies


def leave_out_copies(logs: Logs) -> None:
    """Leave out the copies of other runs."""
    for key, first in copies_of(logs.runs).items():
        logs.skipped[logs.runs.pop(key).called.replace("`", "")] = f"it is a copy of {first.called}"


def report_restarts(logs: Logs, request: LawRequest, report: Report) -> None:
    """Report runs whose counter began again while the run went on (`wrong-counter`)."""
    found = [run for run in logs.runs.values() if restarted(run)]
    if found:
        report.error(
            "wrong-counter",
            f"the steps of {len(found)} run{'s' * (len(found) != 1)} begin again, with lower errors than before",
            request.at("step", "paths"),
            "neither steps nor compute count from the start of the run",
            notes=[f"{run.called}: {len(run.lower)} steps were logged again" for run in found[:8]],
            help=request.advice(
                "add to a run that was continued what it had counted before",
                ("run", "if these are several runs, name the column that identifies a run with `{}`"),
            ),
        )


def restarted(run: Run) -> bool:
    """Return whether the counter of a run began again while the run went on."""
    return len(run.lower) >= FEWEST and median(run.lower) < LOWER
