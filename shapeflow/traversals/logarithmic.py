"""`traversal logarithmic`: all candidates in order, with stage ends evenly spaced in log compute."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.route import Problem, Route
from shapeflow.traversals.spaced import spaced


@attrs.frozen
class Logarithmic(TraversalHooks):
    """All candidates in file order, with stage ends evenly spaced in log compute: of n stages, stage i ends at budget /
    growth^(n - i) from the start of the run. The first stage begins at 0. Does not use laws. A baseline of Anagnostidis
    et al. 2024.
    """

    growth: float = setting("number", default=2.0, above=1.0, help="ratio of each stage's end to the end before")

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg for each candidate; None after an error."""
        count = len(problem.candidates)
        ends = [self.growth ** (i - count) for i in range(1, count + 1)]
        parts = [end - before for before, end in zip([0.0, *ends], ends, strict=False)]
        return spaced(problem, "logarithmic", parts, report)
