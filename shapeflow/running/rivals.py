"""The plan against its rivals: what each needed to reach the same held-out value.

The honest rivals of a plan are the shape that one would have trained, fixed; and the cheapest use of the same shapes
without any law, uniform random. Every run counts its compute from zero, evaluation left out.

No way cools down, neither the plan: a cooldown lowers the error at one compute, that of the run's end, and a rival is
asked at which compute it gets to an error. It would need a cooldown of its own at every point of its way. The same
holds for a schedule, which is left out too.
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
"""A rival may spend so many times the plan's compute before it is stopped."""

CONSTANT_RATE = ("schedule constant", "cooldown 0%")
"""Sentences that every way is compiled with."""

CONSTANT = frozenset({"fixed", "random"})
"""Traversals that do the same at every time, whatever their budget."""

FIXED = {"last": "the shape it ends in, fixed", "best": "the best fixed shape"}


@attrs.frozen
class Entry:
    """One way to train: the plan or a rival, once a seed."""

    name: str
    what: str
    jobs: tuple[Job, ...]


@attrs.frozen
class Result:
    """What a way needed to reach the target, a value a seed; None where it never got there. `seconds` are of training
    alone, each step at its shape's undisturbed time (`step_times`)."""

    name: str
    what: str
    compute: tuple[float | None, ...]
    seconds: tuple[float | None, ...]
    final: tuple[float, ...]

    @property
    def mean_compute(self) -> float | None:
        return _mean(self.compute)

    @property
    def mean_seconds(self) -> float | None:
        return _mean(self.seconds)

    def savings(self, plan: Result) -> tuple[float | None, ...]:
        """1 - plan / this, seed by seed; None where one of the two never got to the target."""
        pairs = zip(plan.compute, self.compute, strict=True)
        return tuple(None if ours is None or theirs is None else 1 - ours / theirs for ours, theirs in pairs)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def metric_of(plan: Plan, asked: str | None) -> str:
    """What runs are compared by: of language models the loss at the longest context, which is what one keeps.

    Raises Refused `unknown-metric` for one that runs of the plan are not measured by."""
    text = plan.metric.startswith("loss@")
    known = {"loss@own", "loss@longest"} if text else {"classification_error", "cross_entropy", plan.metric}
    if asked is not None and asked not in known:
        message = f"runs of this plan are not measured by `{asked}`"
        notes = (f"measured: {', '.join(sorted(known))}",)
        raise Refused(Diagnostic("unknown-metric", message, place="--metric", notes=notes))
    return asked or ("loss@longest" if text else plan.metric)


def plan_entry(path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> Entry:
    """The plan itself as jobs, one a seed, without its schedule and cooldown. Raises Refused."""
    program = program_of(path, sentences, Report())
    if program is not None and program.trained is None:
        message = "there is nothing to train, so nothing to compare"
        raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
    plans = [compile_file(path, [*sentences, *CONSTANT_RATE, f"seed {seed}"], report) for seed in seeds]
    if program is not None and program.cooldown is not None:
        message, why = "no way of a comparison cools down", "lowers the error at one compute alone, the run's end"
        report.warning("cooldown-left-out", message, program.spans["cooldown"], why)
    if program is not None and program.decay is not None:
        message = "no way of a comparison has a schedule"
        why = "each point of a way would need a schedule that ends there"
        report.warning("schedule-left-out", message, program.spans["schedule"], why)
    return _entry(PLAN, "the plan", plans, seeds, folder)


def rival_entries(
    path: Path,
    sentences: Sequence[str],
    rivals: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
) -> list[Entry]:
    """The rivals as jobs: `last`, `best`, or a traversal as a file would write it.

    A way that is the same at all times may spend `ROOM` times the plan's compute to get where the plan ends; one that
    depends on its budget has the plan's own. Raises Refused."""
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
        raise Refused(Diagnostic("no-laws", f"without laws there is no `{rival}` fixed shape", place="--rival"))
    return f"fixed(shape: {comparator.shape.written(plan.units)})"


def _what(rival: str, plan: Plan) -> str:
    if rival not in FIXED:
        return "uniform random" if rival == "random" else rival
    comparator = plan.comparison.last_shape_fixed if rival == "last" else plan.comparison.best_fixed
    shape = comparator.shape
    assert shape is not None
    return f"{FIXED[rival]}, {shape.written(plan.units)}"


def with_goal(entry: Entry, goal: tuple[str, float]) -> Entry:
    """The same way, ended once it is as good as this."""
    return attrs.evolve(entry, jobs=tuple(attrs.evolve(job, until=goal) for job in entry.jobs))


def results(entries: Sequence[Entry], runs: Mapping[Path, Run], metric: str, target: float) -> list[Result]:
    """What each way needed to reach the target."""
    times = step_times(list(runs.values()))
    return [_result(entry, runs, metric, target, times) for entry in entries]


def step_times(runs: Sequence[Run]) -> dict[Shape, float]:
    """Seconds of an undisturbed step in each shape: the 10th percentile over all runs.

    Runs are timed side by side and one after the other, on machines that do other things; so each way's seconds are
    its own steps at the same times a step."""
    seconds: dict[Shape, list[float]] = {}
    for run in runs:
        for event in run.events:
            if isinstance(event, StepDone):
                seconds.setdefault(event.shape, []).append(event.seconds)
    return {shape: sorted(found)[len(found) // 10] for shape, found in seconds.items()}


def seconds_to(run: Run, compute: float, times: Mapping[Shape, float]) -> float:
    """Seconds of training until a compute was spent, each step at the time of its shape."""
    steps = [event for event in run.events if isinstance(event, StepDone) and event.compute <= compute]
    if not steps:
        return 0.0
    # The log may hold every so many-th step only, and the last one may lie a little before the compute.
    done = steps[-1].step * compute / steps[-1].compute
    return done * statistics.mean(times[event.shape] for event in steps)


def target_of(plan: Entry, runs: Mapping[Path, Run], metric: str) -> float:
    """The highest of the values that the plan ends at with its seeds: all of its runs get there."""
    return max(_curve(runs[job.folder], metric)[-1][2] for job in plan.jobs)


def _curve(run: Run, metric: str) -> list[tuple[float, float, float]]:
    curve = run.curve(metric)
    if not curve:
        known = sorted({name for event in run.measured for name in event.values})
        message = f"the run in `{run.folder}` was not measured by `{metric}`"
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
    """The comparison for programs."""
    plan = results[0]
    return {
        "metric": metric,
        "target": target,
        "seeds": list(seeds),
        "ways": [{**attrs.asdict(result), "savings": result.savings(plan)} for result in results],
    }
