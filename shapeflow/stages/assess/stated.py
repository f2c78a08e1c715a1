"""The answer of a plan whose laws have no draws: stated laws, or laws that cannot answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Answer, Chance, Doubt, Range, Say
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.stages.assess.facts import (
    PLACES,
    WORTH,
    beware,
    own_compute,
    per_flop,
    spent,
    switches,
    taken,
    unit_of,
    useful,
)


def without_draws(program: Program, laws: Mapping[Shape, AnyLaw], plan: Plan, doubts: Sequence[Doubt]) -> Answer:
    """By stated laws, without an interval: yes if a plan with switches saves anything; no if it does not, or if it is a
    fixed shape and no single switch would save more than `WORTH`; else unknown. With doubts: unknown."""
    best = last = None
    final, other = plan.stages[-1].shape, 0.0
    fixed = _best(program, plan, laws)
    say: Say = "unknown"
    if not doubts:
        best, last = _exactly(program, plan, laws), _exactly(program, plan, {final: laws[final]})
        if best is not None:
            say = "yes" if best.middle > 0 and len(plan.stages) > 1 else "no"
        if len(plan.stages) == 1 and fixed == final and _switch_pays(program, plan, laws):
            say, other = "unknown", 1.0
    return Answer(
        say=say,
        doubts=tuple(doubts),
        stated=not doubts,
        unit=unit_of(program, plan),
        useful=useful(program),
        best=best,
        last=last,
        fixed=() if doubts or fixed is None else (Chance(shape=fixed, share=1.0),),
        other=other,
        asked=(),
        switches=switches(program, plan),
        credit_needed=None,
        differ=None,
        differ_runs=0,
        error=None,
        spent=spent(laws),
        saved=None,
        settle=None,
        beware=beware(program, plan),
    )


def _exactly(program: Program, plan: Plan, laws: Mapping[Shape, AnyLaw]) -> Range | None:
    """The saving against the best of some fixed shapes, in the unit of the budget; 1 if none reaches the plan's error,
    None if one starts below it."""
    unit = unit_of(program, plan)
    budget = taken(program, plan, unit)
    need = min(_needs(program, plan, laws).values())
    if need <= 0:
        return None
    saving = 1 - budget / need if math.isfinite(need) else 1.0
    return Range(low=saving, middle=saving, high=saving)


def _best(program: Program, plan: Plan, laws: Mapping[Shape, AnyLaw]) -> Shape | None:
    """The fixed shape that needs the least of the budget's unit; None if none reaches the plan's error."""
    needs = _needs(program, plan, laws)
    best = min(needs, key=lambda shape: needs[shape])
    return best if math.isfinite(needs[best]) else None


def _needs(program: Program, plan: Plan, laws: Mapping[Shape, AnyLaw]) -> dict[Shape, float]:
    """How much of the budget's unit each fixed shape needs for the plan's final error."""
    error, unit, end = plan.totals.error or 0.0, unit_of(program, plan), plan.stages[-1]
    computes = {shape: law.compute(error) for shape, law in laws.items()}
    if math.isinf(computes.get(end.shape, 0.0)):
        # The plan ends on this law: its error is the law's floor only by rounding.
        begun = 0.0
        if len(plan.stages) > 1:
            credit = program.credit(plan.stages[-2].shape, end.shape)
            begun = credit * laws[end.shape].compute(plan.stages[-2].leave.error or math.inf)
        computes[end.shape] = begun + own_compute(end)
    return {shape: compute * per_flop(program, unit, shape) for shape, compute in computes.items()}


def _switch_pays(program: Program, plan: Plan, laws: Mapping[Shape, AnyLaw]) -> bool:
    """Whether a single switch, at one of `PLACES` errors, saves more than `WORTH` of a fixed shape."""
    unit, end = unit_of(program, plan), plan.totals.error or 0.0
    delay = program.delay if unit == "seconds" else lambda before, after: 0.0
    first = program.start or 10 * end
    errors = [end * (first / end) ** (at / PLACES) for at in range(1, PLACES + 1)] if 0 < end < first else []

    def need(shape: Shape, error: float) -> float:
        return max(laws[shape].compute(error), 0.0) * per_flop(program, unit, shape)

    limit = (1 - WORTH) * need(plan.stages[-1].shape, end)
    ends = {shape: whole for shape in laws if math.isfinite(whole := need(shape, end))}
    for error in errors:
        here = {shape: need(shape, error) for shape in laws}
        # No credit is above 1: most candidates pay more before the switch than any switch can save.
        least = min((ends[shape] - here[shape] for shape in ends), default=math.inf)
        for before in (shape for shape in laws if here[shape] + least < limit):
            for after, whole in ends.items():
                if (
                    here[before] + whole - here[after] < limit
                    and before != after
                    and program.backward(before, after) is None
                    and here[before] + whole - program.credit(before, after) * here[after] + delay(before, after)
                    < limit
                ):
                    return True
    return False
