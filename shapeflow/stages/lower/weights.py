"""The steps at which a plan changes the weights of its corpora."""

from __future__ import annotations

from collections.abc import Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.base.units import Amount
from shapeflow.ir.corpora import Weights
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.stages.lower.lengths import last_steps, whole_of


def weights(program: Program, stages: Sequence[Stage], report: Report) -> tuple[Weights, ...]:
    """The weights of a plan, each from the first step at which the given amount has been spent. Reports
    `weights-order`."""
    if program.trained is None:
        return ()
    steps, found = stages[-1].leave.step or 0, list[Weights]()
    for later in program.weights:
        amount = program.trained.counted(later.start)
        if amount.dimension == "ratio":
            # As for `until`: a share of the budget, in the budget's own unit.
            unit = "compute" if program.budget is None else program.trained.counted(program.budget).dimension
            amount = Amount(amount.value * whole_of(stages, unit), unit)
        left = whole_of(stages, amount.dimension) - amount.value
        first = steps - last_steps(program, stages, Amount(left, amount.dimension)) if left > 0 else steps
        if first >= steps:
            message, why = "the plan ends before these weights begin", f"the plan has {steps:,} steps"
            report.error("weights-order", message, later.span, why, help="write a smaller amount, or leave them out")
        elif first <= (found[-1].first if found else 0):
            before = "the first step" if not found else "those of the sentence before"
            why, help_ = f"not after {before}", "list the sentences in the order in which they begin"
            report.error("weights-order", f"these weights begin after step {first:,}", later.span, why, help=help_)
        else:
            found.append(Weights(first, later.shares))
    return tuple(found)
