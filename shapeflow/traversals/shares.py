"""`traversal shares(target: (context: 256 tokens))`: the cheapest shape, mixed with a constant share of the target
shape."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.base.units import flops
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import END, Curve, Leg, Problem, Route, Share
from shapeflow.traversals.bounds import Budget, budget_of, laws_of, no_end, reachable, written

SHARE = 0.1
"""The default share of the target: the best one in measurements of a small language model at contexts 64 and 256
(`docs/mixtures.md`)."""


@attrs.frozen
class Shares(TraversalHooks):
    """One stage in the target shape, of which most steps are taken in the fixed shape whose law is lowest at the
    budget, and a constant share in the target itself.

    `target` gives the axes and values that the model will be used at, such as `(context: 256 tokens)`. In measurements
    on context lengths, a constant share from the first step on did better than switching by laws, and better than any
    share that changes during training. Sweep the share itself (5%, 10%, 25%). With a target error, the shape that
    reaches it with the least compute is used.
    """

    target: Shape = setting(help="the axes and values that the model is trained for")  # noqa: RUF009
    share: float = setting("ratio", default=SHARE, above=0.0, high=0.9, help="the share of steps in the target shape")

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg with one share; None after an error."""
        laws = laws_of(problem, "shares", report)
        budget = budget_of(problem, report)
        if laws is None or (problem.budget is not None and budget is None):
            return None
        if budget is None and problem.target is None:
            no_end(problem, "shares", report)
            return None
        others = [i for i, shape in enumerate(problem.candidates) if shape.changed(shape.with_(self.target))]
        if not self.known(problem, report) or not others:
            return None
        others = [i for i in others if self._blendable(problem.candidates[i], problem)]
        if not others:
            cannot_blend(self.target, problem, report)
            return None
        if not reachable(problem, [problem.candidates[i] for i in others], report):
            return None
        ranked = sorted((_score(laws[i], i, problem, budget), i) for i in others)
        best = problem.candidates[ranked[0][1]]
        notes = _notes(problem, laws, budget, ranked)
        return Route((Leg(best.with_(self.target), END, (Share(best, round(1 - self.share, 9)),)),), tuple(notes))

    def _blendable(self, shape: Shape, problem: Problem) -> bool:
        """Whether single steps in a shape can use the target shape instead."""
        target = shape.with_(self.target)
        return problem.allowed(shape, target) and problem.allowed(target, shape)

    def known(self, problem: Problem, report: Report) -> bool:
        """Whether the target fits the candidates. False after reporting `unknown-candidate`."""
        known = set(problem.candidates)
        there = [shape for shape in known if not shape.changed(shape.with_(self.target))]
        missing = [shape for shape in problem.candidates if shape.with_(self.target) not in known]
        if there and not missing and len(there) < len(known):
            return True
        why = "no candidate has these values" if not there else "every candidate has these values"
        if there and missing:
            why = f"{written(missing[0].with_(self.target), problem)} is not a candidate"
        report.error(
            "unknown-candidate",
            f"the target {written(self.target, problem)} does not fit the candidates",
            problem.spans.get("target", problem.spans.get("")),
            why,
            notes=[f"candidates: {', '.join(written(shape, problem) for shape in problem.candidates[:10])}"],
        )
        return False


def cannot_blend(target: Shape, problem: Problem, report: Report) -> None:
    """Report that no step of a stage in the target can be taken in another candidate (`not-blendable`)."""
    report.error(
        "not-blendable",
        f"no candidate can be blended with the target {written(target, problem)}",
        problem.spans.get("target", problem.spans.get("")),
        "every transition to it goes one way only",
        help="shares switch back and forth: name axes whose transition allows that, such as `patch` or `context`",
    )


def _score(law: Curve, index: int, problem: Problem, budget: Budget | None) -> float:
    """The score of a law; lower is better: the compute to the target, or the error at the end of the budget."""
    if problem.target is not None:
        return law.compute(problem.target)
    assert budget is not None
    return law.error(budget.compute(index))


def _notes(problem: Problem, laws: list[Curve], budget: Budget | None, ranked: list[tuple[float, int]]) -> list[str]:
    score, best = ranked[0]
    law, shape = laws[best], written(problem.candidates[best], problem)
    end = problem.target if problem.target is not None else score

    def said(value: float) -> str:
        if problem.target is not None:
            return f"{flops(value)} to error {problem.target:.4g}"
        return f"error {value:.4g} at the end of the budget"

    notes = [f"{shape} is the best fixed shape except the target: its law predicts {said(score)}"]
    if len(ranked) > 1:
        second, index = ranked[1]
        notes.append(f"the next best is {written(problem.candidates[index], problem)}: {said(second)}")
    if law.measured is not None and end < law.measured[1]:
        notes.append(
            f"{shape} was only measured down to error {law.measured[1]:.4g} ({flops(law.compute(law.measured[1]))}): "
            "the choice is based on extrapolated laws"
        )
    if problem.target is not None and budget is not None and law.compute(problem.target) > budget.compute(best):
        notes.append(f"the budget ends before the target: {flops(budget.compute(best))} of {flops(score)}")
    return notes
