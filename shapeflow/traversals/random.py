"""`traversal random`: every candidate with the same share, from the first step to the last."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import END, Leg, Problem, Route, Share
from shapeflow.traversals.bounds import reachable


@attrs.frozen
class Random(TraversalHooks):
    """Each step uses a candidate that is drawn uniformly at random (FlexiViT, Beyer et al. 2023). The plan has one
    stage in the last candidate, with equal shares of all others; draws depend on the seed of the plan. Does not use
    laws. A strong baseline for plans that switch at fixed times.
    """

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg; None after reporting that its law never reaches the target."""
        *others, last = problem.candidates
        if not reachable(problem, [last], report):
            return None
        share = 1 / len(problem.candidates)
        return Route((Leg(last, END, tuple(Share(shape, share) for shape in others)),))
