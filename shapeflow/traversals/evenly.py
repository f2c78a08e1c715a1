"""`traversal evenly`: all candidates in order, with equal compute."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import Problem, Route
from shapeflow.traversals.spaced import spaced


@attrs.frozen
class Evenly(TraversalHooks):
    """All candidates in file order, each with the same compute: of n stages, stage i ends at i/n of the budget. Does
    not use laws. A baseline of Anagnostidis et al. 2024.
    """

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg for each candidate; None after an error."""
        return spaced(problem, "evenly", [1.0] * len(problem.candidates), report)
