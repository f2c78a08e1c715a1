"""What would settle an unknown answer: more runs of each shape, or longer runs, and which to make first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Settle
from shapeflow.ir.edits import Floats
from shapeflow.laws.fitting.posterior import Draws
from shapeflow.stages.assess.answer import Found, Question, ask, short

SEEDS = (2, 3, 4, 6, 8)
"""Multiples of the number of runs that are tried."""
LONGEST = 8.0
"""The largest multiple of the measured compute that is proposed."""
RELEVANT = 0.05
"""Probability of being the best fixed shape from which a shape is worth another run."""
BINS = 8


def settle(question: Question, found: Found) -> Settle | None:
    """The cheaper kind of evidence that is expected to settle an unknown answer; None if neither is sensible.

    Inside the data the width comes from differences between runs: the answer is computed again, on the same draws, as
    if the shapes that matter had more runs. Beyond the data it comes from the form of the curves: the runs must be as
    long as the curves are asked.
    """
    if not found.asked:
        shapes = _relevant(question, found)
        for times in SEEDS:
            again = ask(question, times=dict.fromkeys(shapes, times))
            if again.say != "unknown":
                price = sum((times - 1) * _runs_cost(question, shape) for shape in shapes)
                order = _order(question, found, shapes, longer=False)
                expected = again.best if len(question.pieces) > 1 else None
                return Settle(by="seeds", times=times, compute=short(price), shapes=order, expected=expected)
        return None
    longest = max(one.times for one in found.asked)
    if longest > LONGEST:
        return None
    asked = [one.shape for one in found.asked]
    # A curve goes as far as all its runs do: each of them goes on.
    price = sum((one.times - 1) * _runs_cost(question, one.shape) for one in found.asked)
    order = _order(question, found, asked, longer=True)
    return Settle(by="compute", times=short(longest), compute=short(price), shapes=order, expected=None)


def _runs_cost(question: Question, shape: Shape) -> float:
    """FLOPs of the runs of a shape, over the range that they share."""
    draws = question.posterior.curves[shape]
    return draws.runs * math.exp(draws.last) * question.flops(shape)


def _relevant(question: Question, found: Found) -> list[Shape]:
    """The shapes of the plan, and those that may be the best fixed one. For a plan without switches all, because its
    answer depends on every switch that might pay."""
    if len(question.pieces) == 1:
        return list(question.posterior.curves)
    used = {piece.shape for piece in question.pieces}
    used |= {one.shape for one in found.fixed if one.share >= RELEVANT}
    return [shape for shape in question.posterior.curves if shape in used]


def _order(question: Question, found: Found, shapes: Sequence[Shape], longer: bool) -> tuple[Shape, ...]:
    """The shapes by the share of the saving's variance that their next run explains, per FLOP of that run."""
    low, high = np.quantile(found.saving, [0.02, 0.98])
    saving = np.clip(found.saving, low, high)

    def worth(shape: Shape) -> float:
        draws = question.posterior.curves[shape]
        if longer:
            return _explained(_future(draws, math.log(2.0)), saving) / _runs_cost(question, shape)
        # One more run removes 1 / (runs + 1) of what the level of the runs there are explains.
        return _explained(_level(draws), saving) * draws.runs / (draws.runs + 1) / _runs_cost(question, shape)

    return tuple(sorted(shapes, key=worth, reverse=True))


def _future(draws: Draws, ahead: float) -> Floats:
    """(draws,): how much each draw falls from the last measurement to `ahead` beyond it, in log error."""
    at = [np.interp([draws.last, draws.last + ahead], draws.grid, row) for row in draws.log_error]
    return np.asarray(np.diff(np.array(at), axis=1)[:, 0])


def _level(draws: Draws) -> Floats:
    """(draws,): the run level at the last measurement."""
    return np.array([np.interp(draws.last, draws.grid, row) for row in draws.level])


def _explained(reading: Floats, saving: Floats) -> float:
    """R^2 of the saving regressed on equally filled bins of a reading, corrected for the number of bins."""
    if saving.var() < 1e-12:
        return 0.0
    bins = np.argsort(np.argsort(reading)) * BINS // len(reading)
    means = np.array([saving[bins == one].mean() for one in range(BINS)])
    explained = float(np.mean((means[bins] - saving.mean()) ** 2) / saving.var())
    lost = (BINS - 1) / len(saving)
    return max(0.0, (explained - lost) / (1 - lost))
