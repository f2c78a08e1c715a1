"""One colour for each shape, the same in the strip of stages and in all charts."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Candidate, Plan
from shapeflow.ir.tabulated import AnyLaw

MOST = 16
"""Laws that are drawn; of more, those of the plan's stages and comparators come first."""


@attrs.frozen
class Drawn:
    """A law that is drawn, in the colour of its shape. `pace`: what a FLOP takes in the unit of the charts."""

    shape: Shape
    name: str
    law: AnyLaw
    color: int
    pace: float


def shapes_of(plan: Plan) -> list[Shape]:
    """The shapes of the stages in order, then those of the comparators, then the other candidates, each once."""
    fixed = (plan.comparison.best_fixed.shape, plan.comparison.last_shape_fixed.shape)
    found = [stage.shape for stage in plan.stages] + [shape for shape in fixed if shape is not None]
    return list(dict.fromkeys([*found, *(one.shape for one in plan.candidates)]))


def drawn(plan: Plan) -> Sequence[Drawn]:
    """The laws to draw, at most `MOST` of them."""
    laws = {one.shape: one for one in plan.candidates}
    order = [(color, laws[shape]) for color, shape in enumerate(shapes_of(plan)) if shape in laws]
    return [one for color, candidate in order if (one := _drawn(plan, candidate, color)) is not None][:MOST]


def _drawn(plan: Plan, candidate: Candidate, color: int) -> Drawn | None:
    if candidate.law is None:
        return None
    name = candidate.shape.written(plan.units)
    return Drawn(candidate.shape, name, candidate.law, color, plan.pace(candidate.shape))
