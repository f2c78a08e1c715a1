"""The compute and seconds that two fixed shapes need to reach the plan's final error: the best fixed shape, and the
plan's last shape."""

from __future__ import annotations

import math
from collections.abc import Mapping

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Comparator, Comparison, Totals
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw


def compare(program: Program, laws: Mapping[Shape, AnyLaw], totals: Totals, last: Shape) -> Comparison:
    """Both comparators at the plan's final error, counted from compute 0. For a plan by seconds the best fixed
    shape is the one that needs the fewest seconds, otherwise the least compute."""
    if not laws or totals.error is None or totals.compute is None:
        none = Comparator(None, None, None, "the plan has no laws")
        return Comparison(none, Comparator(last, None, None, none.reason))
    needs = {shape: laws[shape].compute(totals.error) for shape in program.candidates if shape in laws}
    best = min(needs, key=lambda shape: needs[shape] * (_pace(shape, program) or 1.0))
    return Comparison(
        _comparator(best, needs[best], totals, program), _comparator(last, needs.get(last, math.inf), totals, program)
    )


def _comparator(shape: Shape, compute: float, totals: Totals, program: Program) -> Comparator:
    text = shape.written(program.units)
    assert totals.compute is not None
    assert totals.error is not None
    if compute <= 0:
        return Comparator(shape, None, None, f"the law of {text} starts below error {totals.error:.6g}")
    if not math.isfinite(compute):
        return Comparator(shape, None, None, f"the law of {text} never reaches error {totals.error:.6g}")
    pace = _pace(shape, program)
    if pace is None or totals.seconds is None:
        return Comparator(shape, compute, 1 - totals.compute / compute)
    seconds = compute * pace
    return Comparator(shape, compute, 1 - totals.seconds / seconds, seconds=seconds)


def _pace(shape: Shape, program: Program) -> float | None:
    """Seconds per FLOP, if the plan is by seconds."""
    if program.trained is None or program.unit != "seconds":
        return None
    return program.trained.seconds(shape) / program.trained.cost(shape)
