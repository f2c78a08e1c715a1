"""The plan against its rivals: what each needed to reach the same held-out value.

The honest rivals of a plan are the shape that one would have trained, fixed; and the cheapest use of the same shapes
without any law, uniform random. Every run counts its compute from zero, evaluation left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.compiler import compile_file
from shapeflow.diagnostics import Diagnostic, Refused, Report
from shapeflow.plan import Plan
from shapeflow.pool import Job
from shapeflow.runs import Run

PLAN = "plan"
ROOM = 2.5
"""A rival may spend so many times the plan's compute before it is stopped."""

FIXED = {"last": "the shape it ends in, fixed", "best": "the best fixed shape"}


@attrs.frozen
class Entry:
    """One way to train: the plan or a rival, once a seed."""

    name: str
    what: str
    jobs: tuple[Job, ...]


@attrs.frozen
class Result:
    """What a way needed to reach the target, a value a seed; None where it never got there."""

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
    """What runs are compared by: of language models the loss at the longest context, which is what one keeps."""
    return asked or ("loss@longest" if plan.metric.startswith("loss@") else plan.metric)


def plan_entry(path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> Entry:
    """The plan itself as jobs, one a seed. Raises Refused."""
    plans = [compile_file(path, [*sentences, f"seed {seed}"], report) for seed in seeds]
    if not plans[0].runnable:
        message = "there is nothing to train, so nothing to compare"
        raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
    return _entry(PLAN, "the plan", plans, seeds, None, folder)


def rival_entries(
    path: Path,
    sentences: Sequence[str],
    rivals: Sequence[str],
    seeds: Sequence[int],
    goal: tuple[str, float],
    folder: Path,
) -> list[Entry]:
    """The rivals as jobs: `last`, `best`, or a traversal as a file would write it. They end once they reach the goal,
    and may spend `ROOM` times the plan's compute on the way. Raises Refused."""
    first = compile_file(path, [*sentences, f"seed {seeds[0]}"])
    compute = first.totals.compute or 0.0
    every = first.evaluate or max(1, first.steps // 50)
    common = [f"budget {ROOM * compute:.6e} FLOPs", f"evaluate every {compute / first.steps * every:.6e} FLOPs"]
    found = []
    for rival in rivals:
        traversal = f"traversal {_traversal(rival, first)}"
        own = [compile_file(path, [*sentences, *common, traversal, f"seed {seed}"]) for seed in seeds]
        found.append(_entry(rival, _what(rival, first), own, seeds, goal, folder))
    return found


def _entry(
    name: str, what: str, plans: Sequence[Plan], seeds: Sequence[int], goal: tuple[str, float] | None, folder: Path
) -> Entry:
    safe = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
    pairs = zip(plans, seeds, strict=True)
    jobs = (Job(f"{what}, seed {seed}", plan, folder / f"{safe}-seed{seed}", goal) for plan, seed in pairs)
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


def results(entries: Sequence[Entry], runs: Mapping[Path, Run], metric: str, target: float) -> list[Result]:
    """What each way needed to reach the target."""
    return [_result(entry, runs, metric, target) for entry in entries]


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


def _result(entry: Entry, runs: Mapping[Path, Run], metric: str, target: float) -> Result:
    own = [runs[job.folder] for job in entry.jobs]
    reached = [run.reaches(metric, target) for run in own]
    return Result(
        name=entry.name,
        what=entry.what,
        compute=tuple(None if at is None else at[0] for at in reached),
        seconds=tuple(None if at is None else at[1] for at in reached),
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
