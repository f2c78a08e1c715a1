"""`traversal steepest`: at every error the shape whose error falls fastest per FLOP."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.units import Amount, flops
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import END, Leg, Problem, Route, Until
from shapeflow.traversals.bounds import Budget, budget_of, laws_of, no_end, per_step, reachable, start_of, written
from shapeflow.traversals.envelope import entry
from shapeflow.traversals.question import Question
from shapeflow.traversals.reasons import reasons


@attrs.frozen
class Steepest(TraversalHooks):
    """Paper A's rule (eq. 2): train in the shape whose law falls fastest at the current error.

    dC/dE is negative, so the greatest dC/dE is the least compute per unit of error. Shapes change where these rates
    cross, and only where both laws were measured, unless `extrapolate`. Where a transition goes one way only, or hands
    on no more than a credit eta of the descent, each switch is charged (1 - eta) of the compute that the new shape
    would have needed to stand there; it then lies where the old rate is eta times the new one. The cheapest way over
    these places is taken; if no switch repays its price, the answer is one stage. The compute that the first shape
    needs to get to the start counts too, and so do the previews that a switch asks for, so the plan is never dearer, by
    the laws, than the best fixed shape, but for rounding to whole steps.
    """

    picks: ClassVar[bool] = True
    """It is free to use every candidate, so one that it leaves out is worth a word."""
    crosses: ClassVar[bool] = True
    """It changes shapes where the rates of laws cross, so that resampled laws say how well a place is known."""

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
        return _answer(self, problem, Question(problem, laws, start, budget, shortest), report)

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


def _answer(settings: Steepest, problem: Problem, asked: Question, report: Report) -> Route | None:
    way = asked.answer(asked.rules(), settings.extrapolate)
    shapes = problem.candidates
    if way is None:
        report.error(
            "no-way",
            "no candidate gets below the start",
            problem.spans.get("start", problem.spans.get("")),
            f"every law's floor lies above error {asked.start:.4g}",
            help="start at a higher error",
        )
        return None
    if not _begins(problem, asked, report):
        return None
    legs = [Leg(shapes[one.law], Until(error=one.last)) for one in way.stretches]
    legs[-1] = Leg(legs[-1].shape, END)
    return Route(tuple(legs), tuple(reasons(problem, asked, way, settings.extrapolate)))


def _begins(problem: Problem, asked: Question, report: Report) -> bool:
    """Does the budget buy the start in some shape? False after reporting that it does not (`no-way`)."""
    budget = asked.budget
    if budget is None:
        return True
    needs = [entry(law, asked.start) * unit for law, unit in zip(asked.laws, budget.unit, strict=True)]
    least = min(range(len(needs)), key=lambda index: needs[index])
    if needs[least] <= budget.value:
        return True
    shape = written(problem.candidates[least], problem)
    need = flops(entry(asked.laws[least], asked.start))
    report.error(
        "no-way",
        f"the budget ends before error {asked.start:.4g}, at which the plan starts",
        problem.spans.get("budget", problem.spans.get("")),
        f"buys {flops(budget.compute(least))} in {shape}",
        notes=[
            f"{shape} gets to error {asked.start:.4g} first, after {need}: before, no law says what a shape is worth"
        ],
        help=f"raise the budget well above {need}, or start at a higher error",
    )
    return False
