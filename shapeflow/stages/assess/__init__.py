"""A plan under resampled laws: intervals of its expected error, compute and saving, and whether a saving may be
quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Comparator, Comparison, Plan, Uncertainty
from shapeflow.ir.program import Program
from shapeflow.ir.saving_reasons import in_short
from shapeflow.stages.assess.reasons import doubts

__all__ = ["assess"]


def assess(program: Program, laws: Mapping[Shape, Law], plan: Plan, report: Report) -> Plan:
    """The plan with its uncertainty, and without savings that its laws do not support (`unsupported-saving`).

    The stages do not change. Stated laws do not have an uncertainty: if no law was resampled and there are no reasons
    against a saving, the plan is returned unchanged.
    """
    if plan.totals.error is None or not laws:
        return plan
    found = _resampled(program, laws, plan)
    reasons = tuple(doubts(plan, found, program))
    if found is None and not reasons:
        return plan
    found = _nothing(plan) if found is None else found
    plan = attrs.evolve(plan, uncertainty=attrs.evolve(found, reasons=reasons))
    if not reasons:
        return plan
    _warn(program, laws, in_short(plan), report)
    return attrs.evolve(plan, comparison=_withheld(plan.comparison, reasons))


def _resampled(program: Program, laws: Mapping[Shape, Law], plan: Plan) -> Uncertainty | None:
    """The intervals; None if no law was resampled. numpy is imported only when needed."""
    if all(law.draws is None for law in laws.values()):
        return None
    from shapeflow.stages.assess.resampled import resampled

    return resampled(program, laws, plan)


def _nothing(plan: Plan) -> Uncertainty:
    """The uncertainty of a plan whose laws were not resampled, but that has reasons against a saving: no intervals."""
    return Uncertainty(
        level=0.9,
        resamples=0,
        by=None,
        switches=(None,) * (len(plan.stages) - 1),
        error=None,
        compute=None,
        unreached=0.0,
        best_fixed=None,
        last_shape_fixed=None,
        band=(),
        reasons=(),
    )


def _withheld(comparison: Comparison, reasons: Sequence[str]) -> Comparison:
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""

    def without(one: Comparator) -> Comparator:
        if one.saving is None:
            return one
        return attrs.evolve(one, compute=None, saving=None, reason=f"not reliable: {reasons[0]}{more}")

    return Comparison(without(comparison.best_fixed), without(comparison.last_shape_fixed))


def _warn(program: Program, laws: Mapping[Shape, Law], reasons: Sequence[str], report: Report) -> None:
    of_others = any(law.provenance.source == "published" for law in laws.values())
    report.warning(
        "unsupported-saving",
        "no saving is quoted: the laws are not reliable enough",
        program.spans.get("laws", program.spans.get("traversal")),
        notes=reasons,
        help='fit laws to your own runs: `laws from fit("runs/*.csv")`' if of_others else "run longer, or add runs",
    )
