"""The answer and the uncertainty of a plan, from draws of its curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Answer, Doubt, Range
from shapeflow.ir.edits import Floats
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import Plan, Uncertainty
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw, TabulatedLaw
from shapeflow.laws.fitting.posterior import AHEAD, DRAWS, Draws, Posterior, posterior
from shapeflow.stages.assess.answer import SURE, Found, Question, ask, credit_needed, short
from shapeflow.stages.assess.doubts import DIFFER
from shapeflow.stages.assess.facts import (
    beware,
    drawn_credit,
    own_compute,
    per_flop,
    runs_differ,
    spent,
    switches,
    taken,
    unit_of,
    useful,
)
from shapeflow.stages.assess.idle import idle
from shapeflow.stages.assess.settle import settle
from shapeflow.stages.assess.stated import without_draws
from shapeflow.stages.assess.walked import Lines, Piece, walk

Z95 = 1.96
"""Half the width of a 95% interval, in standard deviations."""
SEED = 1
"""Of the draws of measured credits."""
WIDEST = 1e6
"""A law without measurements is drawn from the budget over this to the budget times this."""


def drawn(program: Program, laws: Laws, plan: Plan, doubts: Sequence[Doubt]) -> Plan:
    """The plan with its answer and uncertainty. `doubts`: those that are known without draws."""
    drawn_curves = _posterior(program, laws)
    curves = drawn_curves.curves
    stated = {
        shape: _sampled(laws.samples.get(shape, (law,)), plan) for shape, law in laws.items() if shape not in curves
    }
    draws = attrs.evolve(drawn_curves, curves={shape: {**drawn_curves.curves, **stated}[shape] for shape in laws})
    question = _question(program, plan, draws)
    found = ask(question)
    if any(one.times > math.exp(AHEAD) for one in found.asked):
        # Beyond the last drawn point the draws do not go on.
        return attrs.evolve(plan, answer=without_draws(program, laws, plan, (*doubts, "too-far")))
    if drawn_curves.tau > DIFFER:
        doubts = (*doubts, "runs-differ")
    # Beyond the data the form of the law decides, which the data do not test.
    tested = not found.asked
    answer = _answer(program, laws, plan, question, found, drawn_curves, tuple(doubts), tested)
    band = tuple(_band(plan, question, draws)) if tested else ()
    uncertainty = Uncertainty(
        level=SURE, draws=DRAWS, error=(found.error.low, found.error.high) if tested else None, band=band
    )
    return attrs.evolve(plan, answer=answer, uncertainty=uncertainty)


def question_of(program: Program, laws: Mapping[Shape, AnyLaw], plan: Plan) -> Question:
    """What the answer asks of a plan whose laws were all fitted to runs."""
    return _question(program, plan, _posterior(program, laws))


def _posterior(program: Program, laws: Mapping[Shape, AnyLaw]) -> Posterior:
    """The draws of the curves that were measured."""
    curves = {shape: law.provenance.curve for shape, law in laws.items() if law.provenance.curve is not None}
    return posterior(curves, runs_differ(program)) if curves else Posterior({}, 0.0, 0, {})


def _answer(
    program: Program,
    laws: Mapping[Shape, AnyLaw],
    plan: Plan,
    question: Question,
    found: Found,
    draws: Posterior,
    doubts: tuple[Doubt, ...],
    tested: bool,
) -> Answer:
    say = "unknown" if doubts else found.say
    compute = plan.totals.compute or 0.0
    unit = unit_of(program, plan)
    settled = settle(question, found) if say == "unknown" and not doubts and draws.curves else None
    asked_for = set() if settled is None else set(settled.shapes)
    saves = len(plan.stages) > 1 and unit == "compute"
    return Answer(
        say=say,
        doubts=doubts,
        stated=False,
        unit=unit,
        useful=useful(program),
        best=found.best,
        last=found.last,
        fixed=found.fixed,
        other=found.other,
        asked=found.asked,
        switches=switches(program, plan),
        credit_needed=credit_needed(question),
        differ=short(draws.tau) if draws.curves else None,
        differ_runs=draws.extra_runs,
        error=found.error if tested else None,
        spent=spent(laws),
        saved=_saved(compute, found.best) if saves else None,
        settle=settled,
        idle=tuple(shape for shape in idle(question, found) if shape not in asked_for) if not doubts else (),
        beware=beware(program, plan),
    )


def _saved(budget: float, saving: Range) -> Range:
    """FLOPs saved, of savings as shares of what the fixed shape needs."""

    def flops(share: float) -> float:
        return short(budget * share / (1 - share)) if share < 1 else short(budget * 1e6)

    return Range(low=flops(saving.low), middle=flops(saving.middle), high=flops(saving.high))


def _question(program: Program, plan: Plan, draws: Posterior) -> Question:
    """The plan and its curves in the unit of the budget: each step of a shape has a fixed amount of both, so another
    unit shifts log compute."""
    unit = unit_of(program, plan)
    pieces = tuple(
        Piece(stage.shape, own_compute(stage) * per_flop(program, unit, stage.shape)) for stage in plan.stages
    )
    moved = {shape: one.moved(math.log(per_flop(program, unit, shape))) for shape, one in draws.curves.items()}
    return Question(
        posterior=attrs.evolve(draws, curves=moved),
        pieces=pieces,
        budget=taken(program, plan, unit),
        credit=program.credit,
        allowed=lambda before, after: program.backward(before, after) is None,
        credits=tuple(_credits(program, plan)),
        useful=useful(program),
        delay=program.delay if unit == "seconds" else lambda before, after: 0.0,
        flops=lambda shape: 1 / per_flop(program, unit, shape),
    )


def _credits(program: Program, plan: Plan) -> Iterator[Floats | float]:
    """The credit of each switch: assumed credits are one number, measured ones are drawn from their interval."""
    rng = np.random.Generator(np.random.Philox(SEED))
    for before, after in itertools.pairwise(plan.stages):
        credit: Floats | float = 1.0
        for axis in before.shape.changed(after.shape):
            pair = program.indicated(axis, before.shape, after.shape)
            if pair is None or pair.eta is None or pair.low is None or pair.high is None:
                credit = credit * drawn_credit(program, axis, before.shape, after.shape)
            else:
                width = (pair.high - pair.low) / (2 * Z95)
                credit = credit * np.clip(pair.eta + width * rng.standard_normal(DRAWS), 0.0, pair.most)
        yield credit


def _sampled(laws: Sequence[AnyLaw], plan: Plan) -> Draws:
    """Equally likely laws as draws, in turn; a single one as draws that are all alike."""
    budget = math.log(plan.totals.compute or 1.0)
    low = max(budget - math.log(WIDEST), *(math.log(law.begins * (1 + 1e-9) + 1e-300) for law in laws))
    grid = np.linspace(low, budget + math.log(WIDEST), 400)
    errors = np.log(np.maximum([_errors(law, grid) for law in laws], 1e-300))
    rows = np.minimum.accumulate(errors, axis=1)[np.arange(DRAWS) % len(laws)]
    return Draws(grid, rows, np.zeros_like(rows), 1, float(grid[0]), float(grid[-1]))


def _errors(law: AnyLaw, log_compute: Floats) -> Floats:
    """(n,): the errors of a law at n values of log compute."""
    if isinstance(law, TabulatedLaw):
        return law.errors(log_compute)
    return np.array([law.error(value) for value in np.exp(log_compute).tolist()])


def _band(plan: Plan, question: Question, draws: Posterior) -> Iterator[tuple[float, float, float]]:
    """(compute, low, high) of the error along the plan. A switch appears twice, once for each side."""
    lines = {shape: Lines.of(one) for shape, one in draws.curves.items()}
    own = [Piece(stage.shape, own_compute(stage)) for stage in plan.stages]
    walked = walk(lines, own, question.credits)
    first = max(1e-4 * (plan.totals.compute or 0.0), math.exp(draws.curves[plan.stages[0].shape].first))
    every = np.geomspace(min(first, 0.5 * (plan.stages[0].leave.compute or 0.0)), plan.totals.compute or 0.0, 48)
    for number, (stage, piece) in enumerate(zip(plan.stages, own, strict=True)):
        begin, end = max(stage.enter.compute or 0.0, float(every[0])), stage.leave.compute or 0.0
        at = np.array([begin, *every[(every > begin) & (every < end)], end])
        spent_here = (
            (at - (stage.enter.compute or 0.0)) * piece.length / max(end - (stage.enter.compute or 0.0), 1e-300)
        )
        begun = np.exp(walked.places[number]) - piece.length
        line = lines[stage.shape]
        place = np.log(np.maximum(begun[:, None] + spent_here, 1e-300))
        rows = line.log_error_at(place)
        low, high = np.exp(np.quantile(rows, [0.5 - SURE / 2, 0.5 + SURE / 2], axis=0))
        yield from zip(map(_six, at), map(_six, low), map(_six, high), strict=True)


def _six(value: float) -> float:
    return float(f"{value:.6g}")
