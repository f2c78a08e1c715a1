"""Computes the ledger at a step of a plan. Sizes are never stored, since they follow from the plan and the step."""

from __future__ import annotations

from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan


def first_ledger(plan: Plan) -> Ledger:
    """Return the ledger of a new model in the plan's first stage."""
    stage = plan.stages[0]
    return Ledger.of(plan.parameters, stage.sizes, plan.slots, stage.reading)


def ledger_at(plan: Plan, step: int) -> Ledger:
    """Return the ledger after `step` steps: its stored sizes, with views and slots as set by the last switch."""
    ledger = first_ledger(plan)
    for stage in plan.stages[1 : plan.stage_at(step) + 1]:
        for edit in () if stage.transition is None else stage.transition.edits:
            ledger.apply(edit)
    return ledger
