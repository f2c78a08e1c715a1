"""Computes the ledger at a step of a plan. Sizes are never stored, since they follow from the plan and the step."""

from __future__ import annotations

from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan


def first_ledger(plan: Plan) -> Ledger:
    """Return the ledger of a new model in the plan's first stage."""
    stage = plan.stages[0]
    return Ledger.of(plan.parameters, stage.sizes, plan.slots, stage.reading)


def ledger_at(plan: Plan, step: int, stage: int | None = None) -> Ledger:
    """Return the ledger after `step` steps: its stored sizes, with views and slots as set by the last switch. `stage`:
    index of the stage; None: that of the last step."""
    ledger = first_ledger(plan)
    last = plan.stage_at(step) if stage is None else min(stage, len(plan.stages) - 1)
    for each in plan.stages[1 : last + 1]:
        for edit in () if each.transition is None else each.transition.edits:
            ledger.apply(edit)
    return ledger
