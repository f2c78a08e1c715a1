"""Facts about a plan that its answer reports: credits, cost of the laws, the smallest useful saving."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Switch
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program

USEFUL, RUNS_DIFFER = 0.02, 0.04


def useful(program: Program) -> float:
    """The smallest saving that is worth a switch."""
    return USEFUL if program.law_source is None else program.law_source.useful


def runs_differ(program: Program) -> float:
    """The prior standard deviation of the run-to-run difference in log compute."""
    return RUNS_DIFFER if program.law_source is None else program.law_source.runs_differ


def spent(laws: Mapping[Shape, Law]) -> float | None:
    """FLOPs of all runs that the laws were fitted to; None if it is not known of any."""
    known = [law.provenance.spent for law in laws.values() if law.provenance.spent is not None]
    return sum(known) if known else None


def switches(program: Program, plan: Plan) -> tuple[Switch, ...]:
    """The switches of a plan, each with its credit and whether all of it was measured."""
    return tuple(
        Switch(
            before=before.shape,
            after=after.shape,
            credit=program.credit(before.shape, after.shape),
            measured=all(
                (pair := program.measured(axis, before.shape, after.shape)) is not None and pair.used is not None
                for axis in before.shape.changed(after.shape)
            ),
        )
        for before, after in itertools.pairwise(plan.stages)
    )
