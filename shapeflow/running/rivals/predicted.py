"""What a plan predicted, next to what a comparison measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.ir.answer import Doubt, Range
from shapeflow.ir.plan import Pair, Plan
from shapeflow.running.rivals.paired import paired
from shapeflow.running.rivals.results import Result
from shapeflow.running.rivals.ways import FIXED, Entry
from shapeflow.running.runs import Run

Says = Literal["inside", "outside", "not predicted", "not measured"]

Why = Literal["no-laws", "stated", "other-metric", "other-target", "other-unit", "never", "not-predicted"] | Doubt
"""Why a value was not predicted with an interval, or not measured.

`stated`: stated laws have no interval. `other-metric`, `other-target`: the saving was predicted for another metric, or
for the error at the end of the plan. `other-unit`: it is a saving of steps or data. `never`: a run never reached the
target. `not-predicted`: the plan predicts no interval. For a `Doubt`, see `shapeflow/ir/answer.py`."""


_HAIR = 1e-9
"""The rounding error allowed in errors and savings."""


@attrs.frozen
class Prediction:
    """One quantity.

    `error`: the plan's metric at its end; `best`, `last`: the saving against that fixed shape."""

    what: Literal["error", "best", "last"]
    predicted: float | None
    low: float | None
    """Lower end of the plan's interval; None without one."""
    high: float | None
    measured: float | None
    """The mean over the seeds."""
    says: Says
    """Whether the measured value lies in the interval."""
    why: Why | None


def predictions(
    own: Entry, results: Sequence[Result], runs: Mapping[Path, Run], metric: str, *, chosen: bool
) -> Iterator[Prediction]:
    """The final error of the plan, and the savings against those of the rivals `best` and `last` that were trained.

    `metric`: what was compared; `chosen`: whether the target was given, in place of the plan's final value."""
    plan = own.plan
    ends = [curve[-1][2] for job in own.jobs if (curve := runs[job.folder].curve(plan.metric))]
    interval = None if plan.uncertainty is None else plan.uncertainty.error
    measured = statistics.mean(ends) if ends else None
    yield _prediction("error", plan.totals.error, interval, measured, _unsure(plan))
    for result in results:
        if result.name in FIXED:
            yield _saving(plan, result, results[0], metric, chosen)


def _saving(plan: Plan, rival: Result, own: Result, metric: str, chosen: bool) -> Prediction:
    what: Literal["best", "last"] = "best" if rival.name == "best" else "last"
    found: Range | None = None if plan.answer is None else getattr(plan.answer, what)
    why = _unsure(plan)
    if why is None and plan.answer is not None:
        unlike: list[tuple[bool, Why]] = [
            (metric != plan.metric, "other-metric"),
            (chosen, "other-target"),
            (plan.answer.unit not in ("compute", "seconds"), "other-unit"),
        ]
        why = next((reason for differs, reason in unlike if differs), None)
    saving = paired(rival.savings(own, "seconds" if plan.in_seconds else "compute"))
    pair = None if found is None else (found.low, found.high)
    return _prediction(
        what, None if found is None else found.middle, pair, None if saving is None else saving.mean, why
    )


def _unsure(plan: Plan) -> Why | None:
    """Why the laws of a plan give no interval; None if they do."""
    if plan.answer is None:
        return "no-laws"
    return plan.answer.doubts[0] if plan.answer.doubts else "stated" if plan.answer.stated else None


def _prediction(
    what: Literal["error", "best", "last"],
    predicted: float | None,
    interval: Pair | None,
    measured: float | None,
    why: Why | None,
) -> Prediction:
    low, high = (None, None) if interval is None or why == "stated" else interval
    if why is not None or low is None or high is None:
        return Prediction(what, predicted, low, high, measured, "not predicted", why or "not-predicted")
    if measured is None:
        return Prediction(what, predicted, low, high, None, "not measured", "never")
    return Prediction(
        what, predicted, low, high, measured, "inside" if low - _HAIR <= measured <= high + _HAIR else "outside", None
    )
