"""Evaluates the runs of a probe."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.credits import Pair
from shapeflow.ir.events import Measured, TransitionApplied
from shapeflow.running.pool import Job
from shapeflow.running.probe.plans import Probe, Probing, compute_of
from shapeflow.running.runs import Run, read_run
from shapeflow.running.transfer import Forked, Point, Reference, pair, trial


def references(asked: Probing) -> list[Job]:
    """The reference runs; each stops at the lowest error that its probe needs."""
    jobs = []
    for probe in asked.probes:
        if probe.scratch is not None:
            forked = _forked(probe)
            least = min(forked.before, *(point.error for point in forked.moved))
            jobs.append(attrs.evolve(probe.scratch, until=(probe.metric, least)))
    return jobs


def measured(asked: Probing) -> list[Pair]:
    """The measured credits, by switch."""
    found, counted = [], set[Path]()
    for switch, group in itertools.groupby(asked.probes, key=lambda probe: probe.switch):
        probes = list(group)
        trials = [trial(_forked(probe), _reference(asked, probe)) for probe in probes]
        values = switch.before[switch.axis], switch.after[switch.axis]
        beside = Shape.of({name: value for name, value in switch.before.items() if name != switch.axis})
        spent = math.fsum(_spent(probe, counted) for probe in probes)
        by: Literal["law", "run"] = "law" if probes[0].scratch is None else "run"
        found.append(pair(switch.axis, values, beside, by, spent, trials))
    return found


def runs_of(asked: Probing) -> list[Run]:
    """All runs of a trained probe."""
    return [read_run(job.folder) for job in asked.jobs]


def _forked(probe: Probe) -> Forked:
    """The measurements of the two branches of a probe."""
    moves, stays = read_run(probe.moves.folder), read_run(probe.stays.folder)
    start, cost = probe.trunk.plan.steps, probe.cost
    at = probe.moves.plan.compute_at(start)
    errors = {event.step: event for event in moves.measured if probe.metric in event.values}
    points = tuple(
        Point(event.compute - at, (step - start) * cost, event.values[probe.metric])
        for step, event in errors.items()
        if step > start
    )
    seconds = next((event.seconds for event in moves.events if isinstance(event, TransitionApplied)), None)
    return Forked(probe.seed, at, _error(errors[start], probe), points, _error(stays.measured[-1], probe), seconds)


def _error(event: Measured, probe: Probe) -> float:
    return event.values[probe.metric]


def _reference(asked: Probing, probe: Probe) -> Reference:
    """A function from an error to the compute of the new shape, by its law or by a run in this shape; infinite where
    unknown."""
    if probe.scratch is None:
        law = asked.laws[probe.switch.after]
        # A law does not give meaningful compute above the errors that it was fitted to.
        return lambda error: math.inf if law.measured and error > law.measured[0] else law.compute(error)
    run = read_run(probe.scratch.folder)

    def compute(error: float) -> float:
        found = run.reaches(probe.metric, error)
        return math.inf if found is None else found[0]

    return compute


def _spent(probe: Probe, counted: set[Path]) -> float:
    """FLOPs of the runs of a probe that are not in `counted` yet."""
    trunk = compute_of(probe.trunk.plan)
    spent = compute_of(probe.stays.plan) + compute_of(probe.moves.plan) - 2 * trunk
    if probe.trunk.folder not in counted:
        counted.add(probe.trunk.folder)
        spent += trunk
    if probe.scratch is not None:
        ended = read_run(probe.scratch.folder).ended
        spent += 0.0 if ended is None else ended.compute
    return spent
