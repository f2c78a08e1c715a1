"""The answer of a plan whose laws have no draws: stated laws, or laws that cannot answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Answer, Chance, Doubt, Range, Say
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.stages.assess.facts import spent, switches, useful


def without_draws(program: Program, laws: Mapping[Shape, Law], plan: Plan, doubts: Sequence[Doubt]) -> Answer:
    """By stated laws: whether the plan saves more than is useful, without an interval. With doubts: unknown."""
    best = last = None
    say: Say = "unknown"
    if not doubts:
        best, last = _exactly(plan, laws.values()), _exactly(plan, [laws[plan.stages[-1].shape]])
        if best is not None:
            say = "yes" if best.middle > 0 and not plan.is_best_fixed else "no"
    fixed = plan.comparison.best_fixed.shape
    return Answer(
        say=say,
        doubts=tuple(doubts),
        stated=not doubts,
        unit="compute",
        useful=useful(program),
        best=best,
        last=last,
        fixed=() if doubts or fixed is None else (Chance(shape=fixed, share=1.0),),
        other=0.0,
        asked=(),
        switches=switches(program, plan),
        credit_needed=None,
        differ=None,
        differ_runs=0,
        error=None,
        spent=spent(laws),
        saved=None,
        settle=None,
    )


def _exactly(plan: Plan, laws: Iterable[Law]) -> Range | None:
    """The saving against the best of some fixed shapes; 1 if none reaches the plan's error, None if one starts below
    it."""
    error, budget = plan.totals.error or 0.0, plan.totals.compute or 0.0
    need = min(law.compute(error) for law in laws)
    if need <= 0:
        return None
    saving = 1 - budget / need if math.isfinite(need) else 1.0
    return Range(low=saving, middle=saving, high=saving)
