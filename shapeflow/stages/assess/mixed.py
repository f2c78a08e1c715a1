"""The answer of a plan by the law of a mixture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Against, Answer, Asked, Chance, Mix, Range, Reason, Say
from shapeflow.ir.edits import Floats
from shapeflow.ir.mixture import LOWEST, MixtureLaw
from shapeflow.ir.plan import Comparison, Plan, Uncertainty
from shapeflow.ir.program import Program
from shapeflow.ir.two_skills import best, errors, relative_cost
from shapeflow.stages.assess.answer import MARGIN, SURE, interval, short
from shapeflow.stages.assess.facts import beware, per_flop, unit_of, useful

FORM = 0.06
"""Standard deviation of the form's error, in log compute at equal error, as far as the pilots go, and again for each
factor `FACTOR` of compute beyond them (`docs/mixtures.md`)."""
FORM_LEVEL, FACTOR = 0.014, 2.5
"""The same for an error, as a share of it, for each factor of data beyond the pilots."""
LEAST = 0.03
"""The 5% bound of a saving must be above this for a yes: the tests of `docs/mixtures.md` could not distinguish smaller
ones from none."""
FAR = 20.0
"""How many times the compute of the longest pilot a plan may take, as for the laws of fixed shapes."""
FLAT = 1.03
"""Shares that need at most this multiple of the best one's compute are as good."""
COPIES, SEED = 8, 3
"""Draws of the form's error for each draw of the law."""
GRID = np.geomspace(0.005, 1.0, 400)
OTHERS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
"""Shares of the target that a plan is compared with, where pilots have shares as small."""
BAND = 48
NOTHING = Range(low=0.0, middle=0.0, high=0.0)
"""The saving of the target alone against itself."""


def mixed(program: Program, law: MixtureLaw, plan: Plan) -> Plan:
    """The plan with its answer against the target alone, and the interval of its error.

    yes: the 5% bound of the saving is above `LEAST`. no: every mixture was worse in the pilots, the target alone is the
    best by the law, or the 95% bound is below the smallest useful saving. unknown: otherwise, for the target alone
    where a mixture would pay, and if the pilots do not support the law (`MixtureLaw.reasons`)."""
    stage = plan.stages[0]
    known = len(plan.stages) == 1 and (stage.law is not None or (stage.shape == law.target and not stage.blends))
    if not known:
        return _silent(attrs.evolve(plan, answer=_unknown(program, law, plan)))
    prices = {shape: _price(program, plan, shape) for shape in law.shapes}
    data = plan.data_of(plan.steps)
    shares = law.row({shape: amount / sum(data.values()) for shape, amount in data.items()})
    form = FORM * (1 + math.log(max(1.0, _beyond(law, plan))) / math.log(FACTOR))
    saving = 1 - _with_form(relative_cost(law.theta, shares, law.row(prices), law.kinds), form)
    answer = _answer(program, law, plan, prices, shares, form, interval(saving) if stage.blends else NOTHING)
    if answer.doubts:
        return _silent(attrs.evolve(plan, answer=answer))
    if law.levels is not None or law.reasons:
        return attrs.evolve(plan, answer=answer)
    band = tuple(_band(law, plan, shares * sum(data.values())))
    error = _around(plan.totals.error or 0.0, band[-1][1], band[-1][2])
    uncertainty = Uncertainty(level=SURE, draws=len(law.theta) - 1, error=(error.low, error.high), band=band)
    return attrs.evolve(plan, answer=attrs.evolve(answer, error=error), uncertainty=uncertainty)


def _around(value: float, low: float, high: float) -> Range:
    """The value of the fit with its interval. The fit may lie outside the interval of its draws, such as at a bound."""
    middle = short(value)
    return Range(low=min(low, middle), middle=middle, high=max(high, middle))


def _silent(plan: Plan) -> Plan:
    """The plan without the savings that its comparison states."""
    found, why = plan.comparison, "the law of the mixture does not support a saving"
    if found.last_shape_fixed.compute is None:
        return plan
    best, last = (
        attrs.evolve(one, compute=None, seconds=None, saving=None, reason=why)
        for one in attrs.astuple(found, recurse=False)
    )
    return attrs.evolve(plan, comparison=Comparison(best, last))


def _price(program: Program, plan: Plan, shape: Shape) -> float:
    """Budget per unit of data in a shape, in the budget's own unit."""
    trained = program.trained
    assert trained is not None
    return per_flop(program, unit_of(program, plan), shape) * trained.cost(shape) / trained.batch(shape)


def _with_form(cost: Floats, deviation: float) -> Floats:
    """Relative costs of the draws, each with the error of the form, in log compute."""
    random = np.random.default_rng(SEED)
    return np.asarray(np.exp(np.log(cost[1:, None]) + random.normal(0, deviation, (len(cost) - 1, COPIES))).ravel())


def _answer(
    program: Program,
    law: MixtureLaw,
    plan: Plan,
    prices: Mapping[Shape, float],
    shares: Floats,
    form: float,
    saving: Range,
) -> Answer:
    say: Say = "no"
    why = (*_too_far(law, plan), *_too_small(law, plan, shares), *law.reasons)
    doubted, mixes = bool(why) and law.worse is None, bool(plan.stages[0].blends)
    cheap = _cheap(program, law, plan, prices)
    missed = not mixes and cheap is not None
    if doubted or missed:
        say = "unknown"
    elif mixes and law.worse is None and saving.high >= useful(program):
        say = "yes" if saving.low > LEAST else "unknown"
    unit, compute = unit_of(program, plan), plan.totals.compute or 0.0
    quoted = None if doubted or missed else saving
    times = _beyond(law, plan)
    return attrs.evolve(
        _unknown(program, law, plan),
        say=say,
        doubts=("pilots",) if doubted else (),
        best=quoted,
        last=quoted,
        asked=(Asked(shape=law.target, times=short(times)),) if times > MARGIN else (),
        saved=_saved(compute, quoted) if quoted is not None and unit == "compute" else None,
        mix=_mix(law, cheap, prices, shares if quoted is not None else None, form),
        reasons=(*why, *([law.levels] if law.levels is not None else [])),
    )


def _too_far(law: MixtureLaw, plan: Plan) -> tuple[Reason, ...]:
    """The reason for which a plan far beyond the pilots has no saving."""
    times = _beyond(law, plan)
    if times <= FAR:
        return ()
    text = f"the plan is {times:.3g} times as long as the longest pilot, and the law is trusted up to {FAR:g} times"
    return (Reason(text=text, help="longer pilots, or a smaller budget"),)


def _too_small(law: MixtureLaw, plan: Plan, shares: Floats) -> tuple[Reason, ...]:
    """The reason for which a share far below those of all pilots has no saving."""
    own = float(shares[law.kinds.target])
    if own >= LOWEST * law.smallest:
        return ()
    target = law.target.written(plan.units)
    text = f"the share of {target}, {100 * own:.2g}%, lies below the smallest of the pilots, {100 * law.smallest:.3g}%"
    share = float(f"{own:.2g}")
    advice = f"pilots of this share: `shapeflow pilot --shares 1,{share:g}`" if share else "a larger share"
    return (Reason(text=text, help=advice),)


def _cheap(program: Program, law: MixtureLaw, plan: Plan, prices: Mapping[Shape, float]) -> Shape | None:
    """The shape that the plan mixes in. For the target alone: the one that would be the best; None if none pays."""
    if plan.stages[0].blends:
        return plan.stages[0].blends[0].shape
    target = law.target
    both = [
        s for s in law.shapes if s != target and not program.backward(s, target) and not program.backward(target, s)
    ]
    return law.choose(prices, both).cheap


def _unknown(program: Program, law: MixtureLaw, plan: Plan) -> Answer:
    """The answer of a plan that the law does not describe."""
    return Answer(
        say="unknown",
        doubts=("mixture",),
        stated=False,
        unit=unit_of(program, plan),
        useful=useful(program),
        best=None,
        last=None,
        fixed=(Chance(shape=law.target, share=1.0),),
        other=0.0,
        asked=(),
        switches=(),
        credit_needed=None,
        differ=None,
        differ_runs=0,
        error=None,
        spent=law.spent,
        saved=None,
        settle=None,
        beware=beware(program, plan),
        reasons=(*law.reasons, *([law.levels] if law.levels is not None else [])),
    )


def _saved(budget: float, saving: Range) -> Range:
    low, middle, high = (short(budget * one / (1 - one)) for one in (saving.low, saving.middle, saving.high))
    return Range(low=low, middle=middle, high=high)


def _beyond(law: MixtureLaw, plan: Plan) -> float:
    """Compute of the plan, over that of the longest pilot."""
    return (plan.totals.compute or 0.0) / max(pilot.compute for pilot in law.pilots)


def _mix(law: MixtureLaw, cheap: Shape | None, prices: Mapping[Shape, float], own: Floats | None, form: float) -> Mix:
    """The best share of the target with a cheap shape, over the draws. `own`: the plan's shares of data, if its savings
    are stated; `form`: the error of the form."""
    target = law.kinds.target
    if cheap is None:
        return Mix(
            target=law.target,
            cheap=None,
            share=None,
            flat=None,
            pilots=len(law.pilots),
            seeds=law.seeds,
            smallest=short(law.smallest),
            measured=law.measured,
            worse=law.worse,
        )
    row, place = law.row(prices), law.shapes.index(cheap)
    shares = best(law.theta, row, law.kinds, [place])[0][:, target]
    grid = GRID[LOWEST * law.smallest <= GRID]
    tried = np.zeros((len(grid), len(row)))
    tried[:, target], tried[:, place] = grid, 1 - grid
    cost = relative_cost(np.repeat(law.theta[:1], len(grid), 0), tried, row, law.kinds)
    flat = grid[cost <= FLAT * cost.min()]
    ends = interval(shares[1:])
    return Mix(
        target=law.target,
        cheap=cheap,
        share=_around(float(shares[0]), ends.low, ends.high),
        flat=(short(float(flat[0])), short(float(flat[-1]))),
        pilots=len(law.pilots),
        seeds=law.seeds,
        smallest=short(law.smallest),
        measured=law.measured,
        against=() if own is None else tuple(_against(law, row, own, place, form)),
        worse=law.worse,
    )


def _against(law: MixtureLaw, prices: Floats, own: Floats, place: int, form: float) -> Iterator[Against]:
    """The saving against other shares. The error of the form grows with the distance of the shares."""
    target = law.kinds.target
    cost = relative_cost(law.theta, own, prices, law.kinds)
    for share in OTHERS:
        if share < LOWEST * law.smallest:
            continue
        other = np.zeros(len(prices))
        other[target], other[place] = share, 1 - share
        deviation = form * min(1.0, abs(math.log10(share / own[target])))
        ratio = cost / relative_cost(law.theta, other, prices, law.kinds)
        yield Against(share=share, saving=interval(1 - _with_form(ratio, deviation)))


def _band(law: MixtureLaw, plan: Plan, data: Floats) -> list[tuple[float, float, float]]:
    """(compute, low, high) of the error of a new run along the plan. `data`: (shapes,) at its end."""
    random, compute = np.random.default_rng(SEED), plan.totals.compute or 0.0
    parts = np.geomspace(0.01, 1.0, BAND)
    middle = errors(law.theta[1:], parts[:, None] * data / law.unit, law.kinds)
    beyond = np.log(np.maximum(parts * data.sum() / law.reach, 1.0)) / math.log(FACTOR)
    count = len(middle)
    # One draw of the run's level and of the form's error along the whole curve.
    level, form = random.normal(0, law.level, count), random.normal(0, FORM_LEVEL, count)
    rows = middle + level[:, None] + form[:, None] * beyond * middle
    low, high = np.quantile(rows, [0.5 - SURE / 2, 0.5 + SURE / 2], axis=0)
    return [
        (float(f"{part * compute:.6g}"), float(f"{a:.6g}"), float(f"{b:.6g}"))
        for part, a, b in zip(parts, low, high, strict=True)
    ]
