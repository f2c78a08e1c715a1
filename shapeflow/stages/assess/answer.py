"""The answer of a plan: yes, no or unknown, counted over the draws of its curves.

yes: the plan has switches, and the 5% bound of its saving against the best fixed shape of each draw is above 0.
no: the 95% bound is below the smallest useful saving, and the probability that some single switch would save more than
5% of the best fixed shape is below 10%: neither this plan nor another one pays. unknown: everything else.

A plan is asked at its budget, not at an error: after its last switch it runs on the last shape's own curve, so that
its saving depends on what was measured up to the switch, and hardly on extrapolated floors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Asked, Chance, Range, Say, Switch
from shapeflow.ir.edits import Floats
from shapeflow.laws.fitting.posterior import Posterior
from shapeflow.stages.assess.facts import PLACES, WORTH
from shapeflow.stages.assess.walked import Lines, Piece, Walk, needs, savings, walk

SURE = 0.9
"""Level of all intervals."""
UNLIKELY = 0.10
"""A fixed shape is the answer if a switch that saves more than `WORTH` has a lower probability than this."""
MARGIN = 1.1
"""A curve asked up to this multiple of its largest compute counts as inside the data."""
SHOWN = 0.02
"""Smallest probability of a best fixed shape that is reported."""


@attrs.frozen(eq=False)
class Question:
    """A plan with the curves of all candidates, in the unit of its budget."""

    posterior: Posterior
    pieces: tuple[Piece, ...]
    budget: float
    """What the plan spends, blended steps included."""
    credit: Callable[[Shape, Shape], float]
    allowed: Callable[[Shape, Shape], bool]
    """Whether a switch is possible."""
    credits: tuple[Floats | float, ...]
    """The credit of each switch of the plan in every draw."""
    useful: float
    delay: Callable[[Shape, Shape], float] = lambda before, after: 0.0
    """How much of the unit a switch takes, whatever its credit. `budget` includes that of the plan's switches."""
    flops: Callable[[Shape], float] = lambda shape: 1.0
    """FLOPs of one unit of the budget in a shape."""


@attrs.frozen(eq=False)
class Found:
    """What the draws say."""

    say: Say
    best: Range
    last: Range
    fixed: tuple[Chance, ...]
    other: float
    asked: tuple[Asked, ...]
    error: Range
    saving: Floats
    """(draws,): what the answer counts: against the best fixed shape of each, or that of the best single switch."""


def ask(
    question: Question, times: Mapping[Shape, float] | None = None, credits: Sequence[Floats | float] | None = None
) -> Found:
    """Answer a question. `times`: as if there were this many times the runs of some shapes, which confirm each draw;
    `credits`: those of the switches, in place of the question's."""
    curves, more = question.posterior.curves, times or {}
    lines = {shape: Lines.of(draws, more.get(shape, 1.0)) for shape, draws in curves.items()}
    walked, need = _walked(lines, question.pieces, question.credits if credits is None else credits)
    last_shape = question.pieces[-1].shape
    every = np.array(list(need.values()))
    saving = savings(question.budget, every.min(0))
    winners = every.argmin(0)
    share = np.bincount(winners, minlength=len(every)) / len(winners)
    order = sorted(zip(curves, share.tolist(), strict=True), key=lambda pair: -pair[1])
    best = interval(saving)
    fixed = tuple(Chance(shape=s, share=value) for s, value in order if value >= min(SHOWN, order[0][1]))
    middle = min(curves, key=lambda shape: float(np.median(need[shape])))
    # For the plan that is the best fixed shape itself, the saving is 0 by definition.
    alone = len(question.pieces) == 1 and last_shape == middle
    another = _another(question, lines, walked.log_error, middle)
    other = short(float(np.mean(another > WORTH)))
    say: Say = "unknown"
    if len(question.pieces) > 1 and best.low > 0:
        say = "yes"
    elif (alone or best.high < question.useful) and other < UNLIKELY:
        say = "no"
    saving = another if alone else saving
    return Found(
        say=say,
        best=best,
        last=interval(savings(question.budget, need[last_shape])),
        fixed=fixed,
        other=other,
        asked=_asked(question, walked, need, middle),
        error=interval(np.exp(walked.log_error)),
        saving=saving,
    )


def _walked(
    lines: Mapping[Shape, Lines], pieces: Sequence[Piece], credits: Sequence[Floats | float]
) -> tuple[Walk, dict[Shape, Floats]]:
    """The plan in every draw, and what each shape needs, fixed, to reach its error."""
    walked = walk(lines, pieces, credits)
    # The plan ends on the last shape's curve itself: exact where a draw is level, or ends, at that error.
    return walked, {**needs(lines, walked.log_error), pieces[-1].shape: np.exp(walked.places[-1])}


def interval(values: Floats) -> Range:
    """The ends of the interval and the median, to four digits: the last digits of a draw differ between processors."""
    low, middle, high = np.quantile(values, [0.5 - SURE / 2, 0.5, 0.5 + SURE / 2], method="nearest").tolist()
    return Range(low=short(low), middle=short(middle), high=short(high))


def short(value: float) -> float:
    return float(f"{value:.4g}")


def _asked(question: Question, walked: Walk, need: Mapping[Shape, Floats], best: Shape) -> tuple[Asked, ...]:
    """How far beyond its data each curve is used: by stages where they end, by the fixed shapes at the plan's error."""
    curves = question.posterior.curves
    last = question.pieces[-1].shape
    used = [(piece.shape, float(np.median(place))) for piece, place in zip(question.pieces, walked.places, strict=True)]
    used += [(shape, _log(float(np.median(need[shape])))) for shape in (last, best)]
    times: dict[Shape, float] = {}
    for shape, place in used:
        ratio = math.exp(min(place - curves[shape].last, 50.0))
        times[shape] = max(ratio, times.get(shape, 0.0))
    return tuple(Asked(shape=shape, times=short(ratio)) for shape, ratio in times.items() if ratio > MARGIN)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _another(question: Question, lines: Mapping[Shape, Lines], log_error: Floats, fixed: Shape) -> Floats:
    """(draws,): the largest saving of a single switch, at one of `PLACES` errors, against a fixed shape."""
    curves = question.posterior.curves
    errors = errors_to(question, float(np.median(log_error)), PLACES)
    spent = {shape: np.exp(line.places_at(errors)) for shape, line in lines.items()}
    whole = spent[fixed][:, -1]
    least = whole.copy()
    for before, after in itertools.permutations(curves, 2):
        if not question.allowed(before, after):
            continue
        credit = question.credit(before, after)
        with np.errstate(invalid="ignore"):
            total = spent[before] + spent[after][:, -1:] - credit * spent[after] + question.delay(before, after)
        total = np.where(np.isfinite(total), total, np.inf)
        least = np.minimum(least, total.min(1))
    # Where neither the fixed shape nor a switch gets there, no switch saves.
    reached = np.isfinite(least)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(reached, 1 - least / whole, 0.0))


def errors_to(question: Question, end: float, count: int) -> Floats:
    """(count,): log errors from the highest that all curves measured down to `end`."""
    top = min(float(np.median(draws.log_error[:, 0])) for draws in question.posterior.curves.values())
    return np.linspace(max(top, end), end, count)


def credit_needed(question: Question) -> float | None:
    """The least credit of every switch at which the 5% bound of the saving is above 0; None if 1 is not enough."""
    switches = len(question.pieces) - 1
    lines = {shape: Lines.of(draws) for shape, draws in question.posterior.curves.items()}

    def pays(credit: float) -> bool:
        _, need = _walked(lines, question.pieces, [credit] * switches)
        return interval(savings(question.budget, np.array(list(need.values())).min(0))).low > 0

    if not switches or not pays(1.0):
        return None
    if pays(0.0):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if pays(middle) else (middle, high)
    return short(high)


def switches(pieces: Sequence[Piece], credits: Sequence[tuple[float, bool]]) -> tuple[Switch, ...]:
    """The switches of a plan, each with its credit and whether that was measured."""
    return tuple(
        Switch(before=before.shape, after=after.shape, credit=credit, measured=measured)
        for (before, after), (credit, measured) in zip(itertools.pairwise(pieces), credits, strict=True)
    )
