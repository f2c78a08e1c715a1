"""`traversal steepest`: at every error the shape whose error falls fastest per FLOP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import attrs
import numpy as np

from shapeflow.diagnostics import Report
from shapeflow.route import END, Curve, Leg, Problem, Route, Until
from shapeflow.settings import setting
from shapeflow.traversals.bounds import Budget, budget_of, laws_of, no_end, per_step, reachable, start_of, written
from shapeflow.traversals.envelope import Crossing, Floats, crossings, entry, greedy, openings, total
from shapeflow.traversals.search import End, Rules, Way, cheapest
from shapeflow.units import Amount, flops


@attrs.frozen
class Steepest:
    """Paper A's rule (eq. 2): train in the shape whose law falls fastest at the current error.

    dC/dE is negative, so the greatest dC/dE is the least compute per unit of error. Shapes change where these rates
    cross, and only where both laws were measured, unless `extrapolate`. Where a transition goes one way only, or hands
    on no more than a credit eta of the descent, each switch is charged (1 - eta) of the compute that the new shape
    would have needed to stand there; it then lies where the old rate is eta times the new one. The cheapest way over
    these places is taken; if no switch repays its price, the answer is one stage. The compute that the first shape
    needs to get to the start counts too, so the plan is never dearer, by the laws, than the best fixed shape.
    """

    picks: ClassVar[bool] = True
    """It is free to use every candidate, so one that it leaves out is worth a word."""

    stage_at_least: Amount | None = setting(  # noqa: RUF009
        "steps", "compute", "ratio", default=None, low=0.0, help="the shortest stage, `500 steps` or `2%` of the budget"
    )
    extrapolate: bool = setting(default=False, help="also change shapes at errors that no run has reached")

    def route(self, problem: Problem, report: Report) -> Route | None:
        """The way to the target or to the end of the budget, whichever comes first; None after an error."""
        laws = laws_of(problem, "steepest", report)
        if laws is None:
            return None
        budget = budget_of(problem, report)
        if problem.budget is not None and budget is None:
            return None
        if budget is None and problem.target is None:
            no_end(problem, "steepest", report)
            return None
        start = start_of(problem, report)
        shortest = self._shortest(problem, budget, report)
        if start is None or shortest is None or not reachable(problem, problem.candidates, report):
            return None
        return _answer(self, problem, _Question(laws, start, budget, shortest, _ease(problem)), report)

    def _shortest(self, problem: Problem, budget: Budget | None, report: Report) -> list[float] | None:
        """The least FLOPs of a stage in each candidate; None after an error."""
        least, count = self.stage_at_least, len(problem.candidates)
        if least is None:
            return [0.0] * count
        if least.dimension == "compute":
            return [least.value] * count
        if least.dimension == "steps":
            return per_step(least, problem, report, "stage_at_least")
        if budget is None:
            report.error(
                "ratio-without-budget",
                f"`stage_at_least: {least}` is a ratio of a budget that is not given",
                problem.spans.get("stage_at_least", problem.spans.get("")),
                "of what?",
                help="write it in compute, such as `stage_at_least: 1 PFLOPs`, or add a `budget`",
            )
            return None
        return [least.value * budget.compute(index) for index in range(count)]


@attrs.frozen
class _Question:
    laws: list[Curve]
    start: float
    budget: Budget | None
    shortest: list[float]
    ease: Floats

    def crossings(self, target: float | None, unmeasured: bool) -> list[Crossing]:
        """Where a switch may pay; with `unmeasured` also where a law was not measured."""
        events = openings(self.laws, self.start, self.ease) + crossings(self.laws, self.start, target, self.ease)
        return [event for event in events if unmeasured or _both_measured(self.laws, event)]


def _ease(problem: Problem) -> Floats:
    """Log of the credit of each switch, by the candidates' indices; see `crossings`."""
    credits = [[problem.credit(before, after) for after in problem.candidates] for before in problem.candidates]
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.array(credits, dtype=float))
    return logs


def _answer(settings: Steepest, problem: Problem, asked: _Question, report: Report) -> Route | None:
    events = asked.crossings(problem.target, settings.extrapolate)
    end = End(problem.target, *((asked.budget.value, asked.budget.unit) if asked.budget else ()))
    shapes = problem.candidates
    rules = Rules(
        allowed=lambda p, q: problem.allowed(shapes[p], shapes[q]),
        price=lambda p, q, error: (1 - problem.credit(shapes[p], shapes[q])) * entry(asked.laws[q], error),
        shortest=asked.shortest,
    )
    way = cheapest(asked.laws, asked.start, events, end, rules)
    if way is None:
        report.error(
            "no-way",
            "no candidate gets below the start",
            problem.spans.get("start", problem.spans.get("")),
            f"every law's floor lies above error {asked.start:.4g}",
            help="start at a higher error",
        )
        return None
    legs = [Leg(shapes[one.law], Until(error=one.last)) for one in way.stretches]
    legs[-1] = Leg(legs[-1].shape, END)
    return Route(tuple(legs), tuple(_notes(problem, asked, way)))


def _both_measured(laws: Sequence[Curve], event: Crossing) -> bool:
    for law in (laws[event.upper], laws[event.lower]):
        measured = law.measured
        if measured is not None and not measured[1] <= event.error <= measured[0]:
            return False
    return True


def _notes(problem: Problem, asked: _Question, way: Way) -> list[str]:
    last = way.stretches[-1]
    shape = written(problem.candidates[last.law], problem)
    notes = _one_stage(problem, asked, way) if len(way.stretches) == 1 else []
    notes += _free(problem, asked, way)
    measured = asked.laws[last.law].measured
    if measured is not None and last.last < measured[1]:
        notes.append(
            f"the plan ends at error {last.last:.4g}, and {shape} was measured down to {measured[1]:.4g} only: "
            "from there on its law is extrapolated"
        )
    return notes


def _one_stage(problem: Problem, asked: _Question, way: Way) -> list[str]:
    """Why one shape is the answer, in figures."""
    (only,) = way.stretches
    here, shape = asked.laws[only.law], written(problem.candidates[only.law], problem)
    notes = [f"{shape} is the best fixed shape, and no switch repays its price on the way to error {only.last:.4g}"]
    for index, (candidate, law) in enumerate(zip(problem.candidates, asked.laws, strict=True)):
        if index == only.law:
            continue
        first, last = (_times(law.log_rate(e) - here.log_rate(e)) for e in (asked.start, only.last))
        notes.append(
            f"{written(candidate, problem)} takes {first} the compute per unit of error at error {asked.start:.4g}, "
            f"{last} at {only.last:.4g}; from nothing to there {_times(_log_ratio(law, here, only.last))}"
        )
    return notes


def _log_ratio(law: Curve, other: Curve, error: float) -> float:
    mine, others = law.compute(error), other.compute(error)
    if not math.isfinite(mine):
        return math.inf
    return math.log(mine / others) if mine > 0 and others > 0 else math.nan


def _times(log_ratio: float) -> str:
    if math.isnan(log_ratio):
        return "about as much"
    return f"{math.exp(log_ratio):.3g} times" if log_ratio < 700 else "without end"


def _free(problem: Problem, asked: _Question, way: Way) -> list[str]:
    """What prices, one-way transitions, least lengths and the measured range take from the free way, if anything."""
    end = way.stretches[-1].last
    if not end < asked.start:
        return []
    free = greedy(asked.laws, asked.start, end)
    order = [one.law for one in free]
    # What is cheapest from nothing to the start comes first.
    begin = min(order[:1] + list(range(len(asked.laws))), key=lambda law: entry(asked.laws[law], asked.start))
    order = order if begin == order[0] else [begin, *order]
    price = total(asked.laws, free) - entry(asked.laws[free[0].law], asked.start)
    price += entry(asked.laws[begin], asked.start)
    if price > 0.999 * way.total or order == [one.law for one in way.stretches]:
        return []
    names = ", ".join(written(problem.candidates[law], problem) for law in order)
    notes = [f"free switches at every error would go {names}, for {flops(price)} instead of {flops(way.total)}"]
    used, every = (sum(event.error < asked.start for event in asked.crossings(end, how)) for how in (False, True))
    if used < every:
        notes.append(
            f"{every - used} of {every} crossings lie where a law was not measured and do not count; "
            "`steepest(extrapolate: true)` counts them"
        )
    return notes
