"""`traversal steepest`: at every error the shape whose error falls fastest per unit of the budget."""

from __future__ import annotations

import math
from typing import ClassVar

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.units import Amount
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import END, Leg, Problem, Route, Until
from shapeflow.traversals.bounds import Budget, budget_of, laws_of, no_end, per_step, reachable, start_of, written
from shapeflow.traversals.envelope import entry
from shapeflow.traversals.question import Question
from shapeflow.traversals.reasons import reasons
from shapeflow.traversals.search import Way


@attrs.frozen
class Steepest(TraversalHooks):
    """Train in the shape whose law falls fastest at the current error (Anagnostidis et al. 2024, eq. 2).

    dC/dE is negative, so the greatest dC/dE is the least compute per unit of error. The plan switches where these rates
    cross, and only where both laws were measured, unless `extrapolate` is set. One-way transitions are never reversed.
    A transition with a credit eta below 1 charges each switch (1 - eta) of the compute that the new shape needs from
    scratch to this error; the switch is then where the old rate is eta times the new one. The plan is the cheapest
    route over these crossings; if no switch saves more than it costs, it has one stage. The compute from scratch to the
    start and the previews of switches are counted. According to the laws, the plan therefore never costs more than the
    best fixed shape, except for rounding to whole steps.

    A budget in steps, samples, tokens, epochs or seconds is what is optimized: the rates are then per step, image,
    token or second, and the plan is the one with the lowest error after that many of them.
    """

    picks: ClassVar[bool] = True
    """The traversal may use every candidate, so the compiler warns about candidates that it does not use."""

    stage_at_least: Amount | None = setting(  # noqa: RUF009
        "steps", "compute", "ratio", default=None, low=0.0, help="the shortest stage, `500 steps` or `2%` of the budget"
    )
    extrapolate: bool = setting(default=False, help="also switch at errors that no run has reached")

    def route(self, problem: Problem, report: Report) -> Route | None:
        """The route to the target or to the end of the budget, whichever comes first; None after an error."""
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
        return _answer(self, problem, Question(problem, laws, start, budget, shortest).in_unit(), report)

    def _shortest(self, problem: Problem, budget: Budget | None, report: Report) -> list[float] | None:
        """The minimum FLOPs of a stage in each candidate; None after an error."""
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
                f"`stage_at_least: {least}` is a share of the budget, but the file has no budget",
                problem.spans.get("stage_at_least", problem.spans.get("")),
                "a share of the budget",
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
            f"no candidate goes below error {asked.start:.4g}, where the plan starts",
            problem.spans.get("start", problem.spans.get("")),
            "at or below the floor of every law",
            help="start at a higher error",
        )
        return None
    if not _begins(problem, asked, way, report):
        return None
    legs = [Leg(shapes[one.law], Until(error=one.last)) for one in way.stretches]
    legs[-1] = Leg(legs[-1].shape, END)
    return Route(tuple(legs), tuple(reasons(problem, asked, way, settings.extrapolate)))


def _begins(problem: Problem, asked: Question, way: Way, report: Report) -> bool:
    """Whether the budget reaches the start in some shape. False after reporting that it does not (`no-way`)."""
    budget = asked.budget
    if budget is None:
        return True
    needs = [entry(law, asked.start) * unit for law, unit in zip(asked.laws, budget.unit, strict=True)]
    least = min(range(len(needs)), key=lambda index: needs[index])
    # Rounding may leave nothing of a budget: the law has then no error at its end.
    if needs[least] <= budget.value and math.isfinite(way.stretches[-1].last):
        return True
    shape = written(problem.candidates[least], problem)
    need = asked.written(entry(asked.laws[least], asked.start))
    report.error(
        "no-way",
        f"the budget ends before error {asked.start:.4g}, at which the plan starts",
        problem.spans.get("budget", problem.spans.get("")),
        f"{asked.written(budget.compute(least))} in {shape}",
        notes=[f"{shape} reaches error {asked.start:.4g} first, after {need}; laws do not apply before the start"],
        help=f"raise the budget well above {need}, or start at a higher error",
    )
    return False
