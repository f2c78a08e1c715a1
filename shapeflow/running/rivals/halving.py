"""Finds the best fixed shape by training: successive halving.

All candidates are trained for a quarter of the plan's compute, the better half of them up to half of it, and so on; the
choice is made at the plan's compute, between at least two shapes. For a plan that is compared by seconds, shapes get
its seconds instead. See Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization" (AISTATS 2016). Every run continues from its checkpoint.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.running.pool import Job
from shapeflow.running.rivals.results import curve_of
from shapeflow.running.rivals.ways import PLAN, Entry, budget_in
from shapeflow.running.runs import Run

SHARES = (0.25, 0.5, 1.0)
"""The shares of the plan's compute at which shapes are compared."""
FINAL = 2
"""At least this many shapes are trained for the plan's compute."""

Train = Callable[[Sequence[Entry]], Mapping[Path, Run]]
"""Trains all jobs of some ways. Returns the run of each job's folder."""


@attrs.frozen
class Round:
    """The shapes that were trained up to `compute` FLOPs, or `seconds` if these are given, with the mean value over the
    seeds, the best first."""

    compute: float | None
    values: tuple[tuple[Shape, float], ...]
    seconds: float | None = None


@attrs.frozen
class Choice:
    """The best fixed shape, and how it was found."""

    shape: Shape
    rounds: tuple[Round, ...]
    spent: float
    """FLOPs of the runs in addition to those of the plan and those of earlier sweeps."""
    runs: int
    """The number of these runs."""

    def json(self) -> dict[str, Any]:
        """The choice as JSON."""
        rounds = [
            {"compute": one.compute, "seconds": one.seconds, "values": [_value_json(*each) for each in one.values]}
            for one in self.rounds
        ]
        return {"shape": self.shape.json(), "rounds": rounds, "compute": self.spent, "runs": self.runs}


def _value_json(shape: Shape, value: float) -> dict[str, Any]:
    return {"shape": shape.json(), "value": value if math.isfinite(value) else None}


def shape_of(entry: Entry) -> Shape:
    """The shape of a fixed way."""
    return entry.plan.stages[0].shape


def halved(
    field: Sequence[Entry], plan: Plan, metric: str, train: Train, known: Mapping[Path, Run]
) -> tuple[Entry, Choice]:
    """The best of some fixed shapes, by the mean of a metric over the seeds after the compute, or the seconds, of the
    plan, and how it was found. `known`: the runs of the plan.

    Raises Refused if a run fails."""
    left, rounds, spent = list(field), [], dict[Path, float]()
    for share in SHARES:
        kept = 1 if share == SHARES[-1] else max(FINAL, math.ceil(len(left) / 2))
        if kept >= len(left):
            continue
        ways = [_paused(entry, share, budget_in(plan, shape_of(entry))) for entry in left if entry.same != PLAN]
        runs = {**known, **train(ways)}
        for job in (job for way in ways for job in way.jobs):
            if runs[job.folder].folder == job.folder:
                spent[job.folder] = job.plan.compute_at(job.steps)
        values = {id(entry): _value(entry, runs, metric, share * budget_in(plan, shape_of(entry))) for entry in left}
        left.sort(key=lambda entry: values[id(entry)])
        found = tuple((shape_of(entry), values[id(entry)]) for entry in left)
        compute, seconds = (share * (whole or 0.0) for whole in (plan.totals.compute, plan.totals.seconds))
        rounds.append(Round(None, found, seconds) if plan.in_seconds else Round(compute, found))
        del left[kept:]
    return left[0], Choice(shape_of(left[0]), tuple(rounds), math.fsum(spent.values()), len(spent))


def _paused(entry: Entry, share: float, compute: float) -> Entry:
    """The same way, with jobs that stop at the first evaluation after a share of `compute` FLOPs."""
    jobs = (
        attrs.evolve(job, label=f"{job.label}, up to {share:.0%}", pause=_pause(job, share * compute))
        for job in entry.jobs
    )
    return attrs.evolve(entry, jobs=tuple(jobs))


def _pause(job: Job, compute: float) -> int:
    every = job.plan.evaluate or 1
    steps = math.ceil(compute / job.plan.stages[0].cost * (1 - 1e-9))
    return min(job.plan.steps, math.ceil(steps / every) * every)


def _value(entry: Entry, runs: Mapping[Path, Run], metric: str, compute: float) -> float:
    own = [runs[job.folder] for job in entry.jobs]
    values = [run.at(metric, compute) for run in own if curve_of(run, metric)]
    return statistics.mean(math.inf if math.isnan(value) else value for value in values)
