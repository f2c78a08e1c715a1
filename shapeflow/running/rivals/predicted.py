"""What a plan predicted, next to what a comparison measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.ir.answer import Doubt, Mix, Range
from shapeflow.ir.plan import Pair, Plan
from shapeflow.running.rivals.paired import paired
from shapeflow.running.rivals.results import Result
from shapeflow.running.rivals.ways import FIXED, Entry
from shapeflow.running.runs import Run

Says = Literal["inside", "outside", "not predicted", "not measured"]

Why = (
    Literal["no-laws", "stated", "other-metric", "other-target", "other-unit", "never", "not-predicted", "unpiloted"]
    | Doubt
)
"""Why a value was not predicted with an interval, or not measured.

`stated`: stated laws have no interval. `other-metric`, `other-target`: the saving was predicted for another metric, or
for the error at the end of the plan. `other-unit`: it is a saving of steps or data. `never`: a run never reached the
target. `not-predicted`: the plan predicts no interval. `unpiloted`: it is no constant mixture of the plan's two shapes.
For a `Doubt`, see `shapeflow/ir/answer.py`."""


_HAIR = 1e-9
"""The rounding error allowed in errors and savings."""


@attrs.frozen
class Prediction:
    """One quantity.

    `error`: the plan's metric at its end; `best`, `last`: the saving against that fixed shape; `rival`: the saving
    against another rival, which a law of mixtures predicts."""

    what: Literal["error", "best", "last", "rival"]
    predicted: float | None
    low: float | None
    """Lower end of the plan's interval; None without one."""
    high: float | None
    measured: float | None
    """The mean over the seeds."""
    says: Says
    """Whether the measured value lies in the interval."""
    why: Why | None
    rival: str | None = None
    """The rival, in words; None unless `what` is `rival`."""


def predictions(
    own: Entry,
    results: Sequence[Result],
    runs: Mapping[Path, Run],
    metric: str,
    *,
    chosen: bool,
    plans: Mapping[str, Plan] | None = None,
) -> Iterator[Prediction]:
    """The final error of the plan, and the savings against those of the rivals `best` and `last` that were trained. For
    a plan by a law of mixtures also those against all others; `plans`: their plans by name.

    `metric`: what was compared; `chosen`: whether the target was given, in place of the plan's final value."""
    plan = own.plan
    ends = [curve[-1][2] for job in own.jobs if (curve := runs[job.folder].curve(plan.metric))]
    interval = None if plan.uncertainty is None else plan.uncertainty.error
    measured = statistics.mean(ends) if ends else None
    yield _prediction("error", plan.totals.error, interval, measured, _unsure(plan))
    for result in results:
        if result.name in FIXED:
            what: Literal["best", "last"] = "best" if result.name == "best" else "last"
            found: Range | None = None if plan.answer is None else getattr(plan.answer, what)
            yield _saving(plan, what, found, result, results[0], _why(plan, metric, chosen))
        elif result is not results[0] and plan.answer is not None and plan.answer.mix is not None:
            share = _share(plan.answer.mix, (plans or {}).get(result.name))
            against = None if share is None else _against(plan.answer.mix, share)
            why = _why(plan, metric, chosen) or ("unpiloted" if share is None else None)
            one = _saving(plan, "rival", against, result, results[0], why)
            yield attrs.evolve(one, rival=result.what)


def _why(plan: Plan, metric: str, chosen: bool) -> Why | None:
    """Why the savings of a plan cannot be compared with measured ones; None if they can."""
    if (why := _unsure(plan)) is not None or plan.answer is None:
        return why
    unlike: list[tuple[bool, Why]] = [
        (metric != plan.metric, "other-metric"),
        (chosen and plan.answer.mix is None, "other-target"),
        (plan.answer.unit not in ("compute", "seconds"), "other-unit"),
    ]
    return next((reason for differs, reason in unlike if differs), None)


def _saving(
    plan: Plan,
    what: Literal["best", "last", "rival"],
    found: Range | None,
    rival: Result,
    own: Result,
    why: Why | None,
) -> Prediction:
    saving = paired(rival.savings(own, "seconds" if plan.in_seconds else "compute"))
    pair = None if found is None else (found.low, found.high)
    return _prediction(
        what, None if found is None else found.middle, pair, None if saving is None else saving.mean, why
    )


def _share(mix: Mix, rival: Plan | None) -> float | None:
    """The share of the target in the data of a rival that mixes the same two shapes as the plan; None for others."""
    if rival is None or len(rival.stages) != 1 or mix.cheap is None:
        return None
    data = rival.data_of(rival.steps)
    used = {shape for shape, amount in data.items() if amount}
    return data[mix.target] / sum(data.values()) if used == {mix.target, mix.cheap} else None


def _against(mix: Mix, share: float) -> Range | None:
    """The predicted saving against a share, interpolated in its logarithm; None outside the range of the pilots."""
    known = mix.against
    if not known or not known[0].share <= share <= known[-1].share:
        return None
    after = next(place for place, one in enumerate(known) if one.share >= share)
    one, other = known[max(0, after - 1)], known[after]
    part = 1.0 if one is other else math.log(share / one.share) / math.log(other.share / one.share)

    def between(low: float, high: float) -> float:
        return low + part * (high - low)

    pairs = zip(attrs.astuple(one.saving), attrs.astuple(other.saving), strict=True)
    low, middle, high = (between(*pair) for pair in pairs)
    return Range(low=low, middle=middle, high=high)


def _unsure(plan: Plan) -> Why | None:
    """Why the laws of a plan give no interval; None if they do."""
    if plan.answer is None:
        return "no-laws"
    return plan.answer.doubts[0] if plan.answer.doubts else "stated" if plan.answer.stated else None


def _prediction(
    what: Literal["error", "best", "last", "rival"],
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
