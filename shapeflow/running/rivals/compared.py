"""Trains a plan and its rivals, and collects the results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.running.rivals.choice import LeftOut, Rivals
from shapeflow.running.rivals.halving import Choice, Train, halved
from shapeflow.running.rivals.paired import paired
from shapeflow.running.rivals.predicted import Prediction, predictions
from shapeflow.running.rivals.results import Result, Unit, results, target_of
from shapeflow.running.rivals.same import joined
from shapeflow.running.rivals.ways import Cases, with_goal
from shapeflow.running.runs import Run


@attrs.frozen
class Compared:
    """The results of a comparison. `results`: the plan first, then its rivals."""

    metric: str
    target: float
    seeds: tuple[int, ...]
    results: tuple[Result, ...]
    choice: Choice | None
    """How the best fixed shape was found by training; None if it was not asked for, or known by laws."""
    left: tuple[LeftOut, ...]
    predictions: tuple[Prediction, ...]
    runs: Mapping[Path, Run]
    """Folder of a job -> its run."""
    unit: Unit = "compute"
    """What savings are shares of."""

    def json(self) -> dict[str, Any]:
        """The comparison as JSON."""
        plan = self.results[0]
        return {
            "metric": self.metric,
            "target": self.target,
            "seeds": list(self.seeds),
            "unit": self.unit,
            "ways": [_way(result, plan, self.unit) for result in self.results],
            "choice": None if self.choice is None else self.choice.json(),
            "predictions": [attrs.asdict(one) for one in self.predictions],
            "left_out": [attrs.asdict(one) for one in self.left],
        }


def _way(result: Result, plan: Result, unit: Unit) -> dict[str, Any]:
    """A way as JSON. `saving`: the paired statistics of its savings; null for the plan, and if a seed has none."""
    savings = result.savings(plan, unit)
    found = None if result is plan else paired(savings)
    return {**attrs.asdict(result), "savings": savings, "saving": None if found is None else attrs.asdict(found)}


def compared(cases: Cases, rivals: Rivals, metric: str, target: float | None, train: Train) -> Compared:
    """Train the plan to its end, and each rival until it reaches the same value of a metric.

    `target`: that value; None: the highest final value of the plan over its seeds. Raises Refused if a run fails, or
    did not measure the metric."""
    own = cases.plan
    runs = dict(train([own]))
    goal = target_of(own, runs, metric) if target is None else target
    entries, choice = rivals.entries, None
    if rivals.field:
        best, choice = halved(rivals.field, own.plan, metric, train, runs)
        entries = rivals.with_best(best)
    ways = [with_goal(way, (metric, goal)) for way in joined(own, entries)]
    runs |= train([way for way in ways[1:] if way.same is None])
    found = tuple(results(ways, runs, metric, goal))
    seeds = tuple(job.plan.seed for job in own.jobs)
    plans = {way.name: way.plan for way in ways}
    expected = tuple(predictions(own, found, runs, metric, chosen=target is not None, plans=plans))
    unit: Unit = "seconds" if own.plan.in_seconds else "compute"
    return Compared(metric, goal, seeds, found, choice, rivals.left, expected, runs, unit)
