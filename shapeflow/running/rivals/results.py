"""The results of a comparison: what each way to train needed to reach the same held-out value."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.events import StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.rivals.ways import PLAN, Entry
from shapeflow.running.runs import Run

Unit = Literal["compute", "seconds"]


@attrs.frozen
class Result:
    """The cost of one way to train until it reaches the target, one value per seed; None for a seed that never reaches
    it. `seconds` counts training only, with the time per step of each shape (`step_times`)."""

    name: str
    what: str
    compute: tuple[float | None, ...]
    seconds: tuple[float | None, ...]
    final: tuple[float, ...]
    same: str | None = None
    """The name of the way that has the same runs."""
    runs: tuple[str, ...] = ()
    """The folder of each run."""

    @property
    def mean_compute(self) -> float | None:
        return _mean(self.compute)

    def savings(self, plan: Result, unit: Unit = "compute") -> tuple[float | None, ...]:
        """1 - plan / this in compute or seconds, per seed; None if one of the two never reaches the target."""
        ours, theirs = (one.seconds if unit == "seconds" else one.compute for one in (plan, self))
        pairs = zip(ours, theirs, strict=True)
        return tuple(None if ours is None or theirs is None else 1 - ours / theirs for ours, theirs in pairs)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def metric_of(plan: Plan, asked: str | None) -> str:
    """The metric to compare by. Default: the metric of the plan; for plans of several contexts the loss at the longest,
    at which the model is used. With one context, it is the loss that laws describe.

    Raises Refused `unknown-metric` for a metric that runs of the plan do not measure."""
    text = plan.metric.startswith("loss@")
    known = {"loss@own", "loss@longest"} if text else {"classification_error", "cross_entropy", plan.metric}
    if asked is not None and asked not in known:
        message = f"runs of this plan do not measure `{asked}`"
        notes = (f"measured: {', '.join(sorted(known))}",)
        raise Refused(Diagnostic("unknown-metric", message, place="--metric", notes=notes))
    contexts = text and "context" in plan.units
    return asked or ("loss@longest" if contexts else plan.metric)


def results(entries: Sequence[Entry], runs: Mapping[Path, Run], metric: str, target: float) -> list[Result]:
    """The cost of each entry to reach the target: for the plan in its last stage, in whose shape it ends."""
    times = step_times(list(runs.values()))
    return [_result(entry, runs, metric, target, times) for entry in entries]


def step_times(runs: Sequence[Run]) -> dict[Shape, float]:
    """Time per step in each shape, in seconds: the 10th percentile over all runs.

    Runs may be timed under different load, in parallel or one after the other. The seconds of every entry therefore use
    the same time per step."""
    seconds: dict[Shape, list[float]] = {}
    for run in runs:
        for event in run.events:
            if isinstance(event, StepDone):
                seconds.setdefault(event.shape, []).append(event.seconds)
    return {shape: sorted(found)[len(found) // 10] for shape, found in seconds.items()}


def seconds_to(run: Run, compute: float, times: Mapping[Shape, float]) -> float:
    """Seconds of training until `compute` FLOPs are spent, by the time per step of each shape."""
    steps = [event for event in run.events if isinstance(event, StepDone) and event.compute <= compute]
    if not steps or not steps[-1].compute > 0:
        return 0.0
    # The log may contain only every n-th step, so its last step may end before `compute`.
    done = steps[-1].step * compute / steps[-1].compute
    return done * statistics.mean(times[event.shape] for event in steps)


def target_of(plan: Entry, runs: Mapping[Path, Run], metric: str) -> float:
    """The highest final value of the plan over its seeds: all runs of the plan reach it."""
    return max(curve_of(runs[job.folder], metric)[-1][2] for job in plan.jobs)


def curve_of(run: Run, metric: str) -> list[tuple[float, float, float]]:
    """(FLOPs, seconds, value) at each measurement of a metric. Raises Refused `unknown-metric` if there is none."""
    curve = run.curve(metric)
    if not curve:
        known = sorted({name for event in run.measured for name in event.values})
        message = f"the run in `{run.folder}` did not measure `{metric}`"
        raise Refused(Diagnostic("unknown-metric", message, place="--metric", notes=(f"measured: {', '.join(known)}",)))
    return curve


def _result(entry: Entry, runs: Mapping[Path, Run], metric: str, target: float, times: Mapping[Shape, float]) -> Result:
    own = [runs[job.folder] for job in entry.jobs]
    # An early stage of the plan may reach the target before a switch raises the error again.
    stage = len(entry.plan.stages) - 1 if entry.name == PLAN else 0
    reached = [run.reaches(metric, target, stage) for run in own]
    pairs = zip(own, reached, strict=True)
    return Result(
        name=entry.name,
        what=entry.what,
        compute=tuple(None if at is None else at[0] for at in reached),
        seconds=tuple(None if at is None else seconds_to(run, at[0], times) for run, at in pairs),
        final=tuple(curve_of(run, metric)[-1][2] for run in own),
        same=entry.same,
        runs=tuple(str(run.folder) for run in own),
    )
