"""Runs that are not what they seem: copies of others, and counters that restarted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import TypeVar

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.runs import Logs, Run

Key = TypeVar("Key")
FEWEST = 5
"""Fewest points that show it."""
MOST_AGAIN, ALIKE = 0.5, 1e-6
"""Share of its steps that a run that resumed does not log again with other errors, and log errors that are alike."""
AGAIN_OF = 0.1
"""Least share of steps that were logged again with other errors."""
AGAIN = 2
"""Fewest falls of a counter that begins again at every epoch."""
PART, ALL = 0.25, 0.75
"""A fall from the last to the first part of a counter's range is a new beginning, if nearly all falls are."""
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
    several = [run for run in logs.runs.values() if of_several_files(run)]
    _report_several(several, request, report)
    again_apart = [run for run in logs.runs.values() if measured_twice(run) and run not in several]
    _report_other_kinds(again_apart, request, report)
    found = [run for run in logs.runs.values() if restarted(run)]
    again = next((run for run in found if counts_again(run)), None)
    if again is not None:
        _report_each(again, len(found), request, report)
    elif found:
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


def report_restarted_compute(logs: Logs, request: LawRequest, report: Report) -> None:
    """Report runs whose compute began again while the run went on, unless their steps show it (`wrong-counter`). Call
    this after runs are settled."""
    found = [run for run in logs.runs.values() if run.goes_on]
    if found:
        report.error(
            "wrong-counter",
            f"the compute of {len(found)} run{'s' * (len(found) != 1)} begins again while the run goes on",
            request.at("compute", "paths"),
            "it does not count from the start of the run",
            notes=[run.called for run in found[:8]],
            help=request.advice(
                "add to a run that was continued what it had counted before",
                ("compute", 'count by steps or tokens, if their FLOPs are known: `{}: "1.2e12 * step"`'),
                ("run", "if these are several runs, name the column that identifies a run with `{}`"),
            ),
        )


def _report_other_kinds(found: list[Run], request: LawRequest, report: Report) -> None:
    """Report runs whose steps have two errors that are not alike (`mixed-laws`)."""
    if found:
        report.error(
            "mixed-laws",
            f"{len(found)} run{'s' * (len(found) != 1)} logged steps again with other errors",
            request.at("where", "paths"),
            "they seem to be of several runs, or of several kinds of data",
            notes=[
                f"{run.called}: {len(run.lower)} errors are {math.expm1(median(run.lower)):.0%} higher than before"
                for run in found[:8]
            ],
            help=request.advice(
                ("where", "select the rows of one kind with `{}`"),
                ("run", "or name the column that identifies a run with `{}`"),
            ),
        )


def _report_several(found: list[Run], request: LawRequest, report: Report) -> None:
    """Report files that are read as one run, and are of several (`mixed-laws`)."""
    if found:
        report.error(
            "mixed-laws",
            f"files of several runs have one name and shape, for {len(found)} name{'s' * (len(found) != 1)}",
            request.at("paths", "run"),
            "they would be read as one run",
            notes=[f"{', '.join(f'`{file}`' for file in list(run.files)[:4])}: other errors" for run in found[:8]],
            help=request.advice(
                ("paths", "write `*` in place of `{run}` in `{}`: each file is then a run"), "name fewer files"
            ),
        )


def of_several_files(run: Run) -> bool:
    """Return whether the files of a run are of several: they have other errors at the steps of each other. A trainer
    that resumed repeats some steps, and copies of them alike."""
    other = sum(abs(each) > ALIKE for each in run.lower)
    return len(run.files) > 1 and other >= max(FEWEST, MOST_AGAIN * len(run.points))


def measured_twice(run: Run) -> bool:
    """Return whether a run logged many of its steps again with higher errors: a run that resumed repeats its errors,
    and errors on other data, or of other runs, differ."""
    many = len(run.lower) >= max(FEWEST, AGAIN_OF * len(run.points))
    return many and median(run.lower) > -LOWER and not counts_again(run)


def _report_each(run: Run, count: int, request: LawRequest, report: Report) -> None:
    """Report a counter that begins again at every epoch."""
    highest = max(before for before, _ in run.counted_back)
    least = f"`step_unit: {highest:.0f} steps`" if highest >= 1 else "`step_unit: 40 steps`"
    in_epochs = f'`{{}}: "{run.epochs}"` and the steps of an epoch, about {least}' if run.epochs else ""
    report.error(
        "wrong-counter",
        f"the steps of {count} run{'s' * (count != 1)} begin again many times, as if they were counted within epochs",
        request.at("step", "paths"),
        "neither steps nor compute count from the start of the run",
        notes=[f"{run.called}: the step falls {len(run.counted_back)} times, from about {highest:.6g} to its start"],
        help=request.advice(
            ("step", in_epochs or "name a column that counts from the start of the run with `{}`"),
            ("run", "if these are several runs, name the column that identifies a run with `{}`"),
        ),
    )


def restarted(run: Run) -> bool:
    """Return whether the counter of a run began again while the run went on."""
    return (len(run.lower) >= FEWEST and median(run.lower) < LOWER) or counts_again(run)


def counts_again(run: Run) -> bool:
    """Return whether the counter of a run begins again at every epoch: several times it falls from near its highest to
    near its lowest value, after several rows. Rows in no order fall in half of the rows, and a run that resumed falls
    from anywhere."""
    falls = run.counted_back
    steps = [point.step for point in run.points.values() if point.step is not None]
    if len(falls) < AGAIN or not steps:
        return False
    low, high = min(steps), max(steps)
    whole = sum(before >= high - PART * (high - low) and after <= low + PART * (high - low) for before, after in falls)
    return whole >= ALL * len(falls) and len(steps) + run.repeated >= FEWEST * (len(falls) + 1)
