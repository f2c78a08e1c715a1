"""Hold-out test: fit a law to the first half of log compute, and compare its prediction with the second half.

A fit is evaluated by its extrapolation to compute that it was not fitted to (Alabdulmohsin, Neyshabur and Zhai 2022,
arXiv 2209.06640). The error curve is nearly flat in the second half, so a small mistake in error is a large mistake in
compute. The result therefore contains both.
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
"""Minimum number of points at different compute in the first half."""
LAST = 3
"""The final error and its compute are medians over this many of the last points."""


@attrs.frozen(eq=False)
class Half:
    """The law of the first half of a set of points, and its prediction errors on the second half."""

    points: Points
    """The first half."""
    law: Fitted
    holdout: HoldOut


def hold_out(sets: Sequence[Points], options: FitOptions) -> tuple[Half | None, ...]:
    """Return the fit to the first half of each set, with the same options as for all points. None for a set with too
    few points in the first half.

    All halves are fitted together. If all sets share an exponent, so do the halves, even if only one or two halves have
    enough points.
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
    """Return a mask of the points in the first half of log compute."""
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
    """Return the compute predicted for the final errors, divided by the compute spent. None if the law never reaches
    these errors."""
    foretold = law.compute(float(np.median(rest.error[-LAST:])))
    return max(foretold, 0.0) / float(np.median(rest.compute[-LAST:])) if math.isfinite(foretold) else None
