"""Explains the result of `steepest`, with numbers."""

from __future__ import annotations

import math

import attrs

from shapeflow.ir.route import Curve, Problem
from shapeflow.traversals.bounds import written
from shapeflow.traversals.envelope import Stretch, entry, greedy, total
from shapeflow.traversals.question import Question
from shapeflow.traversals.search import Rules, Way

NEVER = 700.0
"""Logarithm of a ratio of compute from which a shape does not reach an error."""


def reasons(problem: Problem, asked: Question, way: Way, unmeasured: bool) -> list[str]:
    """Notes that explain the plan to its reader."""
    alone = _one_stage(problem, asked, way, unmeasured) if len(way.stretches) == 1 else []
    return alone + _free(problem, asked, way) + _near(problem, way)


def _near(problem: Problem, way: Way) -> list[str]:
    """A note on a plan that may not be the cheapest, since not all candidates or routes were searched."""
    if not way.above:
        return []
    what = "compute" if way.on_target else "error"
    bound = f"its {what} is at most {way.above:.2g} of itself above the least possible"
    if not math.isfinite(way.above):
        bound = f"its {what} may be above the least possible"
    few = f"{len(problem.candidates):,} candidates"
    if way.cut:
        return [f"{few} allow too many routes to compare: some were left out, and {bound}"]
    return [f"{few} are too many to compare at every switch: some were left out, and {bound}"]


def _one_stage(problem: Problem, asked: Question, way: Way, unmeasured: bool) -> list[str]:
    """Notes that explain why the plan has one shape, with numbers."""
    (only,) = way.stretches
    here, shape = asked.laws[only.law], written(problem.candidates[only.law], problem)
    # Each reason takes a search, and this one was ended by its limit.
    why = "no cheaper plan is among those that were compared" if way.cut else _why(asked, only, unmeasured)
    notes = [f"one stage: {shape} is the best fixed shape down to error {only.last:.4g}, and {why}"]
    for index, (candidate, law) in enumerate(zip(problem.candidates, asked.laws, strict=True)):
        if index == only.law:
            continue
        first, last = (law.log_rate(e) - here.log_rate(e) for e in (asked.start, only.last))
        scratch = _log_ratio(law, here, only.last)
        notes.append(f"{written(candidate, problem)} {_needs(asked, only.last, first, last, scratch)}")
    return notes


def _needs(asked: Question, end: float, first: float, last: float, scratch: float) -> str:
    """What another shape needs, by the logarithms of its ratios to the shape of the plan: per unit of error at the
    start and at the end, and from scratch."""
    if max(last, scratch) >= NEVER:
        before = "" if first >= NEVER else f"; at error {asked.start:.4g} it needs {_times(first)} the {asked.noun}"
        return f"never reaches error {end:.4g}{before}{' per unit of error' * bool(before)}"
    return (
        f"needs {_times(first)} the {asked.noun} per unit of error at error {asked.start:.4g}, {_times(last)} at "
        f"{end:.4g}, and {_times(scratch)} from scratch"
    )


def _why(asked: Question, only: Stretch, unmeasured: bool) -> str:
    """The reason why the plan has only one stage."""
    rules = asked.rules()

    def splits(without: Rules, unmeasured: bool, priced: bool = True) -> bool:
        way = asked.answer(without, unmeasured, priced=priced)
        return way is not None and len(way.stretches) > 1

    # The freest search comes first: where it finds no switch, no other can.
    if not splits(Rules(), True, priced=False):
        return "no other shape is cheaper"
    free = Rules(shortest=rules.shortest, allowed=rules.allowed)
    if splits(free, unmeasured, priced=False):
        return "no switch saves more than it costs"
    if any(rules.shortest) and splits(attrs.evolve(rules, shortest=()), unmeasured):
        return "every cheaper plan has a stage shorter than `stage_at_least`"
    if splits(attrs.evolve(rules, allowed=Rules().allowed), unmeasured):
        return "every cheaper plan reverses a one-way transition"
    if not unmeasured and splits(rules, True):
        return "every cheaper plan switches at an error where one of the shapes was not measured"
    return "no switch that the rules allow is cheaper"


def _log_ratio(law: Curve, other: Curve, error: float) -> float:
    mine, others = law.compute(error), other.compute(error)
    if not math.isfinite(mine):
        return math.inf
    # A quotient may underflow where the logarithms do not.
    return math.log(mine) - math.log(others) if mine > 0 and 0 < others < math.inf else math.nan


def _times(log_ratio: float) -> str:
    if math.isnan(log_ratio):
        return "about as much"
    return "over 1e+300 times" if log_ratio > NEVER else f"{math.exp(log_ratio):.3g} times"


def _free(problem: Problem, asked: Question, way: Way) -> list[str]:
    """A comparison with the plan that would result if switches were free. Empty if it has the same shapes or about the
    same cost."""
    end = way.stretches[-1].last
    if not end < asked.start:
        return []
    free = greedy(asked.laws, asked.start, end)
    order = [one.law for one in free]
    # The shape that is cheapest from scratch to the start comes first.
    begin = min(order[:1] + list(range(len(asked.laws))), key=lambda law: entry(asked.laws[law], asked.start))
    order = order if begin == order[0] else [begin, *order]
    price = total(asked.laws, free) - entry(asked.laws[free[0].law], asked.start)
    price += entry(asked.laws[begin], asked.start)
    if price > 0.999 * way.total or order == [one.law for one in way.stretches]:
        return []
    names = ", ".join(written(problem.candidates[law], problem) for law in order)
    notes = [f"if switches were free: {names}, for {asked.written(price)} instead of {asked.written(way.total)}"]
    if all(law.measured is None for law in asked.laws):
        return notes
    used, every = (sum(event.error < asked.start for event in asked.switches(end, how)) for how in (False, True))
    if used < every:
        notes.append(
            f"{every - used} of {every} crossings are outside the measured range and are not used; "
            "`steepest(extrapolate: true)` uses them"
        )
    return notes
