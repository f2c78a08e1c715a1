"""Compares a plan with its rivals by the compute that each needs to reach the same held-out value.

The default rivals are the fixed shape that one would train otherwise, and uniform random, the simplest use of the same
shapes without laws. Every run counts its compute from zero, without evaluation.

The plan and its rivals are trained without a schedule and cooldown. Both lower the error only at the end of a run, so
finding the compute at which a rival reaches an error would need a separate cooldown at every point.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_file, program_of
from shapeflow.ir.events import StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.pool import Job
from shapeflow.running.runs import Run

PLAN = "plan"
ROOM = 2.5
"""A rival is stopped after this many times the plan's compute."""

CONSTANT_RATE = ("schedule constant", "cooldown 0%")
"""Sentences that replace those of the file for the plan and its rivals."""

CONSTANT = frozenset({"fixed", "random"})
"""Traversals that do not depend on the budget."""

FIXED = {"last": "the fixed last shape", "best": "the best fixed shape"}


@attrs.frozen
class Entry:
    """One way to train: the plan or a rival, with a job for each seed."""

    name: str
    what: str
    jobs: tuple[Job, ...]


@attrs.frozen
class Result:
    """The cost of one way to train until it reaches the target, one value per seed; None for a seed that never reaches
    it. `seconds` counts training only, with the time per step of each shape (`step_times`)."""

    name: str
    what: str
    compute: tuple[float | None, ...]
    seconds: tuple[float | None, ...]
    final: tuple[float, ...]

    @property
    def mean_compute(self) -> float | None:
        return _mean(self.compute)

    def savings(self, plan: Result) -> tuple[float | None, ...]:
        """1 - plan / this, per seed; None if one of the two never reaches the target."""
        pairs = zip(plan.compute, self.compute, strict=True)
        return tuple(None if ours is None or theirs is None else 1 - ours / theirs for ours, theirs in pairs)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def metric_of(plan: Plan, asked: str | None) -> str:
    """The metric to compare by. Default: the metric of the plan; for language models the loss at the longest context,
    at which the model is used.

    Raises Refused `unknown-metric` for a metric that runs of the plan do not measure."""
    text = plan.metric.startswith("loss@")
    known = {"loss@own", "loss@longest"} if text else {"classification_error", "cross_entropy", plan.metric}
    if asked is not None and asked not in known:
        message = f"runs of this plan do not measure `{asked}`"
        notes = (f"measured: {', '.join(sorted(known))}",)
        raise Refused(Diagnostic("unknown-metric", message, place="--metric", notes=notes))
    return asked or ("loss@longest" if text else plan.metric)


def plan_entry(path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> Entry:
    """The plan as an entry with one job per seed, without its schedule and cooldown. Raises Refused."""
    program = program_of(path, sentences, Report())
    if program is not None and program.trained is None:
        message = "there is nothing to train, so nothing to compare"
        raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
    plans = [compile_file(path, [*sentences, *CONSTANT_RATE, f"seed {seed}"], report) for seed in seeds]
    if program is not None and program.cooldown is not None:
        message, why = "runs of a comparison do not cool down", "lowers the error only at the end of a run"
        report.warning("cooldown-left-out", message, program.spans["cooldown"], why)
    if program is not None and program.decay is not None:
        message = "`compare` trains without the schedule"
        why = "a run that ends at the target would need a schedule that ends there"
        report.warning("schedule-left-out", message, program.spans["schedule"], why)
    return _entry(PLAN, "the plan", plans, seeds, folder)


def rival_entries(
    path: Path,
    sentences: Sequence[str],
    rivals: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
) -> list[Entry]:
    """The rivals as entries. A rival is `last`, `best`, or a traversal in the syntax of a `.shape` file.

    A traversal that does not depend on its budget may use up to `ROOM` times the plan's compute to reach the target;
    the others get the plan's budget. Raises Refused."""
    sentences = [*sentences, *CONSTANT_RATE]
    first = compile_file(path, [*sentences, f"seed {seeds[0]}"])
    compute = first.totals.compute or 0.0
    every = first.evaluate or max(1, first.steps // 50)
    often = f"evaluate every {compute / first.steps * every:.6e} FLOPs"
    found = []
    for rival in rivals:
        traversal = _traversal(rival, first)
        room = ROOM if traversal.partition("(")[0].strip() in CONSTANT else 1.0
        own = [f"budget {room * compute:.6e} FLOPs", often, f"traversal {traversal}"]
        plans = [compile_file(path, [*sentences, *own, f"seed {seed}"]) for seed in seeds]
        found.append(_entry(rival, _what(rival, first), plans, seeds, folder))
    return found


def _entry(name: str, what: str, plans: Sequence[Plan], seeds: Sequence[int], folder: Path) -> Entry:
    safe = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
    pairs = zip(plans, seeds, strict=True)
    jobs = (Job(f"{what}, seed {seed}", plan, folder / f"{safe}-seed{seed}") for plan, seed in pairs)
    return Entry(name, what, tuple(jobs))


def _traversal(rival: str, plan: Plan) -> str:
    if rival not in FIXED:
        return rival
    comparator = plan.comparison.last_shape_fixed if rival == "last" else plan.comparison.best_fixed
    if comparator.shape is None:
        raise Refused(Diagnostic("no-laws", f"there is no `{rival}` fixed shape without laws", place="--rival"))
    return f"fixed(shape: {comparator.shape.written(plan.units)})"


def _what(rival: str, plan: Plan) -> str:
    if rival not in FIXED:
        return "uniform random" if rival == "random" else rival
    comparator = plan.comparison.last_shape_fixed if rival == "last" else plan.comparison.best_fixed
    shape = comparator.shape
    assert shape is not None
    return f"{FIXED[rival]}, {shape.written(plan.units)}"


def with_goal(entry: Entry, goal: tuple[str, float]) -> Entry:
    """The same entry, with jobs that stop when they reach a goal (metric, value)."""
    return attrs.evolve(entry, jobs=tuple(attrs.evolve(job, until=goal) for job in entry.jobs))


def results(entries: Sequence[Entry], runs: Mapping[Path, Run], metric: str, target: float) -> list[Result]:
    """The cost of each entry to reach the target."""
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
    if not steps:
        return 0.0
    # The log may contain only every n-th step, so its last step may end before `compute`.
    done = steps[-1].step * compute / steps[-1].compute
    return done * statistics.mean(times[event.shape] for event in steps)


def target_of(plan: Entry, runs: Mapping[Path, Run], metric: str) -> float:
    """The highest final value of the plan over its seeds: all runs of the plan reach it."""
    return max(_curve(runs[job.folder], metric)[-1][2] for job in plan.jobs)


def _curve(run: Run, metric: str) -> list[tuple[float, float, float]]:
    curve = run.curve(metric)
    if not curve:
        known = sorted({name for event in run.measured for name in event.values})
        message = f"the run in `{run.folder}` did not measure `{metric}`"
        raise Refused(Diagnostic("unknown-metric", message, place="--metric", notes=(f"measured: {', '.join(known)}",)))
    return curve


def _result(entry: Entry, runs: Mapping[Path, Run], metric: str, target: float, times: Mapping[Shape, float]) -> Result:
    own = [runs[job.folder] for job in entry.jobs]
    reached = [run.reaches(metric, target) for run in own]
    pairs = zip(own, reached, strict=True)
    return Result(
        name=entry.name,
        what=entry.what,
        compute=tuple(None if at is None else at[0] for at in reached),
        seconds=tuple(None if at is None else seconds_to(run, at[0], times) for run, at in pairs),
        final=tuple(_curve(run, metric)[-1][2] for run in own),
    )


def as_json(results: Sequence[Result], metric: str, target: float, seeds: Sequence[int]) -> dict[str, Any]:
    """The comparison as JSON."""
    plan = results[0]
    return {
        "metric": metric,
        "target": target,
        "seeds": list(seeds),
        "ways": [{**attrs.asdict(result), "savings": result.savings(plan)} for result in results],
    }
