"""Whether a plan pays, by the curves that its laws were fitted to, and the interval of its predicted error."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.stages.assess.doubts import doubts
from shapeflow.stages.assess.facts import other_ends, uncertain_credits
from shapeflow.stages.assess.mixed import mixed
from shapeflow.stages.assess.stated import without_draws

__all__ = ["assess"]


def assess(program: Program, laws: Laws, plan: Plan, report: Report) -> Plan:
    """The plan with its answer and its uncertainty; the stages do not change. A plan without predictions is returned
    unchanged, unless there is a law of mixtures. Warnings: other-end."""
    if not laws or (plan.totals.error is None and laws.mixture is None):
        return plan
    plan = _answered(program, laws, plan) if laws.mixture is None else mixed(program, laws.mixture, plan)
    for axis, ends, kept in other_ends(program, plan):
        at, why = program.spans.get("metric", program.spans.get("traversal")), f"compares shapes at their own {axis}"
        report.warning("other-end", f"the plan ends at {axis} {ends}, not at {kept}", at, why)
    return plan


def _answered(program: Program, laws: Laws, plan: Plan) -> Plan:
    found = doubts(program, laws, plan)
    measured = any(law.provenance.curve is not None for law in laws.values())
    if found or not (measured or laws.samples or uncertain_credits(program, plan)):
        return attrs.evolve(plan, answer=without_draws(program, laws, plan, found))
    # numpy is imported only when needed.
    from shapeflow.stages.assess.drawn import drawn

    return drawn(program, laws, plan, found)
