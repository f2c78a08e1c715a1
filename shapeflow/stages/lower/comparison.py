"""What fixed shapes would need for the plan's final error: the best of them, and the one that the plan ends in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Comparator, Comparison, Stage, Totals
from shapeflow.ir.program import Program
from shapeflow.ir.route import Route


def last_shape(route: Route, stages: Sequence[Stage]) -> Shape:
    """The shape that is kept: the last stage's; of a single stage that blends throughout, the one blended in."""
    constant = [share.shape for share in route.legs[-1].shares if (share.first, share.last) == (0.0, 1.0)]
    return constant[0] if len(stages) == 1 and len(constant) == 1 else stages[-1].shape


def compare(program: Program, laws: Mapping[Shape, Law], totals: Totals, last: Shape) -> Comparison:
    """Both comparators, counted from compute 0, at the plan's final error."""
    if not laws or totals.error is None or totals.compute is None:
        none = Comparator(None, None, None, "there are no laws to compare by")
        return Comparison(none, Comparator(last, None, None, none.reason))
    needs = {shape: laws[shape].compute(totals.error) for shape in program.candidates if shape in laws}
    best = min(needs, key=lambda shape: needs[shape])
    return Comparison(
        _comparator(best, needs[best], totals, program), _comparator(last, needs.get(last, math.inf), totals, program)
    )


def _comparator(shape: Shape, compute: float, totals: Totals, program: Program) -> Comparator:
    text = shape.written(program.units)
    assert totals.compute is not None
    assert totals.error is not None
    if compute <= 0:
        return Comparator(shape, None, None, f"the law of {text} is below {totals.error:.6g} from the beginning")
    if not math.isfinite(compute):
        return Comparator(shape, None, None, f"the law of {text} never gets down to {totals.error:.6g}")
    return Comparator(shape, compute, 1 - totals.compute / compute)
