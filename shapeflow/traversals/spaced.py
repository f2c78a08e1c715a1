"""The common part of `evenly` and `logarithmic`: all candidates in order, each up to a fraction of the budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from shapeflow.base.diagnostics import Report
from shapeflow.base.units import Amount
from shapeflow.ir.route import END, Leg, Problem, Route, Until
from shapeflow.traversals.bounds import no_end, prices, reachable, written

MOST = 10_000
"""At most this number of stages: they are laid out, rehearsed and written to the plan one by one, in about 2 s."""


def spaced(problem: Problem, name: str, parts: Sequence[float], report: Report) -> Route | None:
    """One leg for each candidate in file order, each with its part of the budget's compute.

    The ends are ratios of the budget in its own unit: for a budget of steps, parts of compute become parts of steps.
    None after reporting `too-many-candidates`, `no-end`, `target-out-of-reach` or `one-way-transition`.
    """
    if (count := len(problem.candidates)) > MOST:
        message = f"`{name}` makes a stage of each of {count:,} candidates"
        help_ = "list fewer values on an axis, or choose another traversal"
        report.error("too-many-candidates", message, problem.spans.get(""), f"at most {MOST:,} stages", help=help_)
        return None
    if problem.budget is None:
        no_end(problem, name, report, stop=False)
        return None
    if not reachable(problem, problem.candidates[-1:], report):
        return None
    for before, after in pairwise(problem.candidates):
        if not problem.allowed(before, after):
            report.error(
                "one-way-transition",
                f"`{name}` cannot go from {written(before, problem)} to {written(after, problem)}",
                problem.spans.get(""),
                "it takes the candidates in the order of the file",
                help="list the values of the axis in an order that the transition allows",
            )
            return None
    notes: list[str] = []
    if problem.budget.dimension != "compute":
        costs = prices(problem, problem.budget.dimension)
        if costs is None:
            notes.append("without a model, equal parts of steps count as equal parts of compute")
        else:
            parts = [part / cost for part, cost in zip(parts, costs, strict=True)]
    whole = sum(parts)
    ends = [end / whole for end in accumulate(parts)]
    legs = [Leg(shape, Until(amount=Amount(end, "ratio"))) for shape, end in zip(problem.candidates, ends, strict=True)]
    legs[-1] = Leg(legs[-1].shape, END)
    return Route(tuple(legs), tuple(notes))
