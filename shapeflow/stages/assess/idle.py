"""Which candidates can wait: runs of them are not likely to change the plan or its comparison.

Shapes that wait are never dropped: while the answer is unknown, their runs go on later.
"""

from __future__ import annotations

import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.stages.assess.answer import Found, Question, errors_to
from shapeflow.stages.assess.walked import Lines

UNLIKELY = 0.05
"""A shape waits if each of its uses has a lower probability than this."""
PLACES = 14
"""Errors between which shapes are compared."""
CHEAPER = 1.02
"""A shape must be the cheapest by this factor..."""
OFTEN = 2
"""...over this many of the stretches between these errors."""


def idle(question: Question, found: Found) -> tuple[Shape, ...]:
    """The shapes that the plan does not use and that are unlikely to be the best fixed shape, or to be the cheapest per
    unit of error below where their runs end."""
    busy = {piece.shape for piece in question.pieces}
    busy |= {one.shape for one in found.fixed if one.share >= UNLIKELY}
    curves = question.posterior.curves
    if busy >= curves.keys():
        return ()
    errors = errors_to(question, float(np.log(found.error.middle)), PLACES)
    spent = {shape: np.exp(Lines.of(draws).places_at(errors)) for shape, draws in curves.items()}
    with np.errstate(invalid="ignore"):
        rates = {shape: np.nan_to_num(np.diff(row, axis=1), nan=np.inf) for shape, row in spent.items()}
    ends = {shape: float(np.median(_at_last(question, shape))) for shape in curves}

    def used(shape: Shape) -> float:
        """The probability that more of its runs would be used."""
        others = np.min([rate for other, rate in rates.items() if other != shape], axis=0)
        cheapest = (rates[shape] < others / CHEAPER)[:, errors[1:] < ends[shape]]
        return float(np.mean(cheapest.sum(1) >= OFTEN))

    return tuple(shape for shape in curves if shape not in busy and used(shape) < UNLIKELY)


def _at_last(question: Question, shape: Shape) -> list[float]:
    """Log error at the last measurement, in every draw."""
    draws = question.posterior.curves[shape]
    return [float(np.interp(draws.last, draws.grid, row)) for row in draws.log_error]
