"""Compute the route of a program: the shapes in order, and where each leg ends."""

from __future__ import annotations

import math
from collections.abc import Callable

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.mixture import Laws
from shapeflow.ir.program import Program
from shapeflow.ir.route import Problem, Route
from shapeflow.stages.previews import blends, surcharge


def traverse(program: Program, laws: Laws, report: Report) -> Route | None:
    """The route that the program's traversal returns, or the route of its `stage` sentences. None after an error was
    reported."""
    if program.by_hand is not None:
        return program.by_hand
    assert program.traversal is not None
    asked = problem(program, laws)
    route: Route | None = program.traversal.route(asked, report)
    if route is not None and (wrong := _wrong(route)) is not None:
        message, at = f"the traversal returned {wrong}", program.spans.get("traversal")
        report.error("implausible-number", message, at, "a leg cannot end there")
        return None
    return route


def _wrong(route: Route) -> str | None:
    """The first end of a leg that is not a finite number above 0; None if all are."""
    for number, leg in enumerate(route.legs, 1):
        amount = leg.until.amount
        for end in (leg.until.error, None if amount is None else amount.value):
            if end is not None and not (math.isfinite(end) and end > 0):
                return f"leg {number} with the end {end}"
    return None


def problem(program: Program, laws: Laws) -> Problem:
    """The input of a traversal."""
    trained = program.trained
    dimension: Dimension = "seconds" if program.unit == "seconds" else "compute"
    return Problem(
        candidates=program.candidates,
        laws=laws,
        units=program.units,
        start=program.begins_at(laws),
        target=program.stop,
        budget=_budget(program),
        unit=program.unit,
        step_compute={shape: trained.cost(shape) for shape in program.candidates} if trained else None,
        allowed=lambda before, after: program.backward(before, after) is None,
        credit=_remembered(program),
        spans=program.within("traversal"),
        surcharge=lambda before, after: surcharge(program, before, after, dimension),
        step_data={shape: trained.batch(shape) for shape in program.candidates} if trained else None,
        step_seconds={shape: trained.seconds(shape) for shape in program.candidates}
        if trained and trained.timing
        else None,
        switch_seconds=program.delay if program.timing is not None and program.timing.switches else None,
        mixture=laws.mixture,
        one_way=frozenset(axis.name for axis in program.axes if axis.transition.one_way),
        credits=program.credit_range,
        previewed=blends(program),
    )


def _remembered(program: Program) -> Callable[[Shape, Shape], float]:
    """The credit of a switch, computed once for each pair of values of an axis."""
    known: dict[tuple[str, object, object], float] = {}

    def along(axis: str, before: Shape, after: Shape) -> float:
        key = (axis, before[axis], after[axis])
        if key not in known:
            known[key] = program.kept(axis, before, after)
        return known[key]

    return lambda before, after: math.prod(along(axis, before, after) for axis in before.changed(after))


def _budget(program: Program) -> Amount | None:
    if program.budget is None or program.trained is None:
        return program.budget
    return program.trained.counted(program.budget)
