"""A traversal that goes through the candidates several times."""

from __future__ import annotations

import attrs

from shapeflow import Amount, Leg, Problem, Report, Route, TraversalHooks, Until, setting


@attrs.frozen
class Zigzag(TraversalHooks):
    """The first and the last candidate in turn, in stages of equal compute."""

    turns: int = setting(default=2, low=1, help="how often it goes there and back")

    def route(self, problem: Problem, report: Report) -> Route | None:
        """None after reporting `one-way-transition`, for shapes that cannot be left again."""
        ends = (problem.candidates[0], problem.candidates[-1])
        if not (problem.allowed(*ends) and problem.allowed(*reversed(ends))):
            report.error("one-way-transition", "`zigzag` needs transitions that go both ways", problem.spans.get(""))
            return None
        shapes = ends * self.turns
        parts = (Until(amount=Amount(number / len(shapes), "ratio")) for number in range(1, len(shapes)))
        until = (*parts, Until())
        return Route(tuple(Leg(shape, end) for shape, end in zip(shapes, until, strict=True)))
