"""Which phases of random features have exponents like the measured ones.

A phase is named if some (alpha, beta) of its region gives both exponents within the measured intervals. Exponents of
theory describe the limit of large compute, and those of exact losses at practical widths are off by some hundredths
above the line 2 alpha = 1, and by up to 0.2 below it. `OFF` allows for that.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import product

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.law import Pair
from shapeflow.laws.exponents.estimate import Estimate
from shapeflow.laws.logs.points import Floats
from shapeflow.laws.random_features.phase import NAMES, Name, exponents_of, name_of
from shapeflow.laws.random_features.problem import STEEPEST

OFF: Mapping[Name, tuple[Pair, Pair]] = {
    "Ia": ((-0.02, 0.03), (-0.04, 0.02)),
    "Ib": ((-0.02, 0.04), (-0.06, 0.02)),
    "Ic": ((-0.05, 0.02), (-0.08, 0.02)),
    "II": ((-0.04, 0.03), (-0.05, 0.03)),
    "III": ((-0.02, 0.09), (-0.02, 0.03)),
    "IVa": ((-0.02, 0.19), (-0.02, 0.07)),
    "IVb": ((-0.04, 0.03), (-0.06, 0.03)),
}
"""Phase -> how far xi and eta of exact losses may be from theory, at best widths of 90 to 2900.
`python benchmarks/exponents.py --narrow` measures it."""
STEP = 0.01
"""Spacing of the values of alpha and beta that are tried."""


@attrs.frozen
class Resemblance:
    """A phase with exponents like the measured ones."""

    phase: Name
    alpha: Pair
    beta: Pair
    """The ranges of alpha and beta in this phase that fit."""
    practical: bool
    """Whether the exponents of the phase hold at practical widths: 2 alpha > 1."""


def resembling(
    xi: Estimate, eta: Estimate, alpha: float | None = None, beta: float | None = None
) -> tuple[Resemblance, ...]:
    """Return the phases that fit, those with 2 alpha > 1 first. `alpha`, `beta`: known values."""
    found = []
    for name, (a, b) in _plane(alpha, beta).items():
        of_width, of_loss = exponents_of(name, a, b)
        fits = _within(of_width, xi, OFF[name][0]) & _within(of_loss, eta, OFF[name][1])
        if fits.any():
            a, b = a[fits], b[fits]
            ranges = (float(a.min()), float(a.max())), (float(b.min()), float(b.max()))
            found.append(Resemblance(name, *ranges, practical=name in ("Ia", "II", "III")))
    return tuple(sorted(found, key=lambda one: not one.practical))


@functools.cache
def _plane(alpha: float | None, beta: float | None) -> Mapping[Name, tuple[Floats, Floats]]:
    """Phase -> the values of alpha and beta in it that are tried, (n,) each."""
    every = (np.arange(round(STEEPEST / STEP) + 1) * STEP).tolist()
    alphas, betas = every[1:] if alpha is None else [alpha], every if beta is None else [beta]
    places: dict[Name, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for a, b in product(alphas, betas):
        name = name_of(a, b)
        if name is not None:
            places[name].append((a, b))
    each = {name: np.array(found).T for name, found in places.items() if found}
    return {name: (a, b) for name, (a, b) in each.items()}


def _within(theory: Floats, measured: Estimate, off: Pair) -> NDArray[np.bool_]:
    """(n,): whether exponents of theory are within the interval, up to how far exact ones may be off."""
    return np.asarray((theory + off[1] >= measured.low) & (theory + off[0] <= measured.high))
