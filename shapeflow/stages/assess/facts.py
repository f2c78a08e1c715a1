"""Facts about a plan that its answer reports: credits, cost of the laws, the smallest useful saving."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Dimension
from shapeflow.ir.answer import Switch
from shapeflow.ir.plan import Plan, Stage
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw

USEFUL, RUNS_DIFFER = 0.02, 0.04
WORTH = 0.05
"""A plan of one fixed shape is not the answer if a single switch saves more than this."""
PLACES = 12
"""Errors at which a single switch is tried."""


def useful(program: Program) -> float:
    """The smallest saving that is worth a switch."""
    return USEFUL if program.law_source is None else program.law_source.useful


def runs_differ(program: Program) -> float:
    """The prior standard deviation of the run-to-run difference in log compute."""
    return RUNS_DIFFER if program.law_source is None else program.law_source.runs_differ


def other_ends(program: Program, plan: Plan) -> list[tuple[str, str, str]]:
    """(axis, its value at the end, its largest value) of each axis on which the plan ends below the largest value, if a
    shape is measured in its own form: the comparison then does not hold for a model that is kept at that value."""
    if not program.metric.own:
        return []
    last = plan.comparison.last_shape_fixed.shape or plan.stages[-1].shape
    found = []
    for axis in program.axes:
        largest = max(shape.number(axis.name) for shape in program.candidates) if axis.kind.caution else 0
        if axis.kind.caution and axis.kind.data == program.metric.data and last.number(axis.name) < largest:
            ends, kept = (f"{value} {axis.unit}".rstrip() for value in (last[axis.name], largest))
            found.append((axis.name, ends, kept))
    return found


def beware(program: Program, plan: Plan) -> tuple[str, ...]:
    """What the compared metric does not show about the model that is kept, for each of `other_ends`."""
    return tuple(
        f"the plan ends at {axis} {ends}, and shapes are compared at their own {axis}: if you use the model at {kept}, "
        f"plan by `metric {name_of(program.metric)}({axis}: longest)`"
        for axis, ends, kept in other_ends(program, plan)
    )


def spent(laws: Mapping[Shape, AnyLaw]) -> float | None:
    """FLOPs of all runs that the laws were fitted to; None if it is not known of any."""
    known = [law.provenance.spent for law in laws.values() if law.provenance.spent is not None]
    return sum(known) if known else None


def unit_of(program: Program, plan: Plan) -> Dimension:
    """The unit in which the plan is compared: that of its budget or stated cost, or compute."""
    return "compute" if program.trained is None or plan.totals.steps is None else program.unit


def per_flop(program: Program, unit: Dimension, shape: Shape) -> float:
    """How much of the unit one FLOP in a shape takes."""
    if unit == "compute" or program.trained is None:
        return 1.0
    return program.trained.of_step(unit, shape) / program.trained.cost(shape)


def taken(program: Program, plan: Plan, unit: Dimension) -> float:
    """How much of the unit the plan takes: FLOPs and seconds with blended steps, steps and data as if all steps of a
    stage were in its shape."""
    if unit == "compute":
        return plan.totals.compute or 0.0
    if unit == "seconds":
        return plan.totals.seconds or 0.0
    return sum(own_compute(stage) * per_flop(program, unit, stage.shape) for stage in plan.stages)


def own_compute(stage: Stage) -> float:
    """FLOPs of a stage, as if all its steps were in its own shape."""
    if stage.steps is None:
        return (stage.leave.compute or 0.0) - (stage.enter.compute or 0.0)
    return stage.steps * stage.cost


def uncertain_credits(program: Program, plan: Plan) -> bool:
    """Whether the measured credit of a switch of the plan has an interval."""
    pairs = (
        program.indicated(axis, before.shape, after.shape)
        for before, after in itertools.pairwise(plan.stages)
        for axis in before.shape.changed(after.shape)
    )
    return any(pair is not None and pair.low is not None for pair in pairs)


def switches(program: Program, plan: Plan) -> tuple[Switch, ...]:
    """The switches of a plan, each with its credit and whether all of it was measured."""
    return tuple(
        Switch(
            before=before.shape,
            after=after.shape,
            credit=math.prod(drawn_credit(program, axis, before.shape, after.shape) for axis in moved),
            measured=all(program.indicated(axis, before.shape, after.shape) is not None for axis in moved),
        )
        for before, after in itertools.pairwise(plan.stages)
        for moved in (before.shape.changed(after.shape),)
    )


def drawn_credit(program: Program, axis: str, before: Shape, after: Shape) -> float:
    """The credit of a switch along one axis that draws are centred on."""
    pair = program.indicated(axis, before, after)
    if pair is None or pair.eta is None:
        return program.axis(axis).transition.credit
    return float(pair.used or 0.0) if pair.low is None else min(max(pair.eta, 0.0), pair.most)
