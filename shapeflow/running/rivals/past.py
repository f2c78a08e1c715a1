"""Reuses runs of an earlier sweep in a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.running.pool import Job
from shapeflow.running.runs import Run, is_run, read_run
from shapeflow.running.training import training

_HAIR = 1e-9
"""The relative rounding error allowed in compute."""


@attrs.frozen
class Past:
    """Earlier runs, by what they train (`training`)."""

    runs: Mapping[str, tuple[Run, ...]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Past:
        """The runs in the folders inside a folder. Raises Refused `no-run` if there are none."""
        found: dict[str, tuple[Run, ...]] = {}
        for inside in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_run(inside) and not inside.name.startswith("."):
                run = read_run(inside)
                key = training(run.plan)
                found[key] = (*found.get(key, ()), run)
        if not found:
            message = f"`{folder}` contains no runs"
            raise Refused(Diagnostic("no-run", message, place="--runs", help="name the folder of a `shapeflow sweep`"))
        return cls(found)

    def find(self, job: Job, metric: str) -> Run | None:
        """A run that makes the steps of a job and measured a metric, up to where the job ends; None if there is none.

        A run in one shape may be shorter than the job's plan if the job ends early, or longer. The last step of a job
        that does not end early must have been measured."""
        if not self.runs:
            return None
        # Values on other held-out data cannot be compared.
        same = [run for run in self.runs.get(training(job.plan), ()) if run.plan.held_out == job.plan.held_out]
        found = (_part(run, job, metric) for run in same)
        return next((run for run in found if run is not None), None)


def _part(run: Run, job: Job, metric: str) -> Run | None:
    points = [event for event in run.measured if metric in event.values]
    if not points:
        return None
    if job.until is not None:
        reached = (event.step for event in points if event.values.get(job.until[0], math.inf) <= job.until[1])
        if (step := next(reached, None)) is not None and step <= job.plan.steps:
            return _cut(run, step)
    if job.pause is not None:
        # The value at the pause is interpolated, so a measurement after it is needed too.
        return run if points[-1].compute >= job.plan.compute_at(job.steps) * (1 - _HAIR) else None
    return _cut(run, job.plan.steps) if any(event.step == job.plan.steps for event in points) else None


def _cut(run: Run, step: int) -> Run:
    """The first steps of a run."""
    return attrs.evolve(run, events=tuple(event for event in run.events if event.step <= step))
