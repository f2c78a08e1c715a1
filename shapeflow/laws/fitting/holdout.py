"""Whether a law could have been foreseen: fitted to the first half of its log compute, and tried on the rest.

A fit is judged by what it says of compute that it has not seen (Alabdulmohsin, Neyshabur and Zhai 2022, arXiv
2209.06640). The error is nearly flat out there, so that a small mistake in it is a large one in compute: both are told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.law import HoldOut, Law, Provenance
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_laws
from shapeflow.laws.logs.points import Points

FEWEST = 8
"""Points at different compute that the first half must have."""
LAST = 3
"""The lowest errors, and the compute that they took, are medians over so many points."""


@attrs.frozen(eq=False)
class Half:
    """The law of the first half of a set of points, and how it did on the rest."""

    points: Points
    """The first half."""
    law: Fitted
    holdout: HoldOut


def hold_out(sets: Sequence[Points], options: FitOptions) -> tuple[Half | None, ...]:
    """Each set's first half, fitted with the same options, all halves at once; None where a half has too few points.

    An exponent that is shared by all sets is shared by the halves, also where these are fewer.
    """
    firsts = [points.chosen(in_first_half(points)) for points in sets]
    fit = [len(np.unique(first.compute)) >= FEWEST for first in firsts]
    kind = options.kind(len(sets))
    options = options if kind == "fixed" else attrs.evolve(options, exponent=kind)
    laws = iter(fit_laws([first for first, enough in zip(firsts, fit, strict=True) if enough], options))
    return tuple(
        _half(points, first, next(laws)) if enough else None
        for points, first, enough in zip(sets, firsts, fit, strict=True)
    )


def in_first_half(points: Points) -> NDArray[np.bool_]:
    """Which points lie in the first half of log compute."""
    at = np.log(points.compute)
    return np.asarray(at <= 0.5 * (at[0] + at[-1]))


def _half(points: Points, first: Points, fitted: Fitted) -> Half:
    law = Law(fitted.a, fitted.b, fitted.c, fitted.d, Provenance(source="fit", metric="", convention=""))
    rest = points.chosen(~in_first_half(points))
    foretold = np.array([law.error(float(compute)) for compute in rest.compute])
    missed = np.log(foretold) - np.log(rest.error)
    found = HoldOut(
        points=len(rest.compute),
        error=float(np.mean(np.abs(missed))),
        last=float(missed[-1]),
        factor=_factor(law, rest),
    )
    return Half(first, fitted, found)


def _factor(law: Law, rest: Points) -> float | None:
    """Compute foretold for the lowest errors over that really spent; None where the law never gets there."""
    foretold = law.compute(float(np.median(rest.error[-LAST:])))
    return max(foretold, 0.0) / float(np.median(rest.compute[-LAST:])) if math.isfinite(foretold) else None
