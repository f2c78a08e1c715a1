"""Runs that are not what they seem: copies of others, counters that restarted, and data counted as steps."""

from __future__ import annotations

from statistics import median

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.runs import Logs, Run

FEWEST = 5
"""Fewest points that show it."""
LOWER = -0.05
"""If the steps that a run logged again have log errors lower by this (the median), its counter restarted: a run that
resumed repeats its errors."""
TOKENS = 1024
"""Fewest tokens of a step whose multiples are not taken for steps."""


def leave_out_copies(logs: Logs) -> None:
    """Leave out runs whose points are all those of another run of their shape, as of a file that was copied."""
    kept: dict[tuple[object, ...], Run] = {}
    for key, run in list(logs.runs.items()):
        points = (repr(run.shape), *((point.compute, point.error, point.step) for point in run.points.values()))
        first = kept.setdefault(points, run)
        if first is not run and len(run.points) >= FEWEST:
            logs.skipped[run.called.replace("`", "")] = f"it is a copy of {first.called}"
            del logs.runs[key]


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


def counts_data(run: Run, request: LawRequest) -> bool:
    """Return whether all steps of a run are multiples of the tokens of a step, so that the column seems to count
    tokens."""
    data = (request.step_data or {}).get(run.shape, 0.0)
    steps = [point.step for point in run.points.values() if point.step]
    return data >= TOKENS and len(steps) >= FEWEST and all(step % data == 0 for step in steps)
