"""`traversal fixed((patch: 8 px))`: one shape from the first step to the last."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import END, Leg, Problem, Route
from shapeflow.traversals.bounds import reachable, written


@attrs.frozen
class Fixed(TraversalHooks):
    """One stage in one candidate. Does not use laws. Every plan is compared with this baseline."""

    shape: Shape = setting(first=True, help="the candidate, such as `(patch: 8 px)`")  # noqa: RUF009

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg; None after reporting that the shape is not a candidate (`unknown-candidate`), or that its law never
        reaches the target."""
        if self.shape in problem.candidates:
            return Route((Leg(self.shape, END),)) if reachable(problem, [self.shape], report) else None
        report.error(
            "unknown-candidate",
            f"{written(self.shape, problem)} is not a candidate",
            problem.spans.get("shape", problem.spans.get("")),
            "not in the list of candidates",
            notes=[f"candidates: {', '.join(written(shape, problem) for shape in problem.candidates[:10])}"],
            help=f"use a candidate, such as {written(problem.candidates[0], problem)}",
        )
        return None
