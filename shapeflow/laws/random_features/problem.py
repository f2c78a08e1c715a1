"""The power-law random-features model, and sums over its features.

    x_j = j^-alpha z_j with z ~ N(0, 1),    y = sum_j x_j j^-beta,    prediction <W^T x, theta> with W_ij ~ N(0, 1/d)

for j = 1 .. v. The loss is the expected squared error, without a factor 1/2. Source: arXiv 2405.15074, section 1.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from shapeflow.ir.edits import Floats

HEAD = 400
"""Sums over more than twice this many features are exact up to here, and integrated beyond."""
PANEL, POINTS = 1.3, 12
"""Ratio of the ends of a panel beyond the head, and its Gauss-Legendre points."""
STEEPEST = 3.0
"""Largest alpha and beta."""


@attrs.frozen
class RandomFeatures:
    """The model at one width. Raises ValueError unless 0 < alpha <= 3, 0 <= beta <= 3, 2 alpha + 2 beta > 1 and
    0 < width < features."""

    alpha: float
    """Decay of the data: the j-th feature has the variance j^(-2 alpha)."""
    beta: float
    """Decay of the target: the j-th feature has the coefficient j^-beta."""
    width: float
    """d, the number of random features, each with one trained parameter. May be fractional on average over W."""
    features: int
    """v, the number of features of the data."""

    def __attrs_post_init__(self) -> None:
        wrong = outside(self.alpha, self.beta)
        if wrong is not None:
            raise ValueError(wrong)
        if not 0 < self.width < self.features:
            raise ValueError(f"a width of {self.width:g} is not between 0 and the {self.features} features of the data")

    def variances(self, j: Floats) -> Floats:
        """D_j, the variance of features j."""
        return np.asarray(j ** (-2 * self.alpha))

    def energies(self, j: Floats) -> Floats:
        """D_j b_j^2, the part of the target's variance in features j."""
        return np.asarray(j ** (-2 * self.alpha - 2 * self.beta))

    @property
    def trace(self) -> float:
        """The variance of all features together, tr D."""
        j, weight = nodes(self.features)
        return float(weight @ self.variances(j))

    @property
    def start(self) -> float:
        """The loss before the first step: the variance of the target."""
        j, weight = nodes(self.features)
        return float(weight @ self.energies(j))


def outside(alpha: float, beta: float) -> str | None:
    """Why the theory does not apply to these exponents; None if it does."""
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        return "alpha and beta must be finite"
    if alpha <= 0:
        return f"alpha is {alpha:g}, and must be above 0"
    if beta < 0:
        return f"beta is {beta:g}, and must not be below 0"
    if max(alpha, beta) > STEEPEST:
        return f"alpha and beta must be at most {STEEPEST:g}: beyond it float64 does not resolve the spectrum"
    if 2 * alpha + 2 * beta <= 1:
        return f"2 alpha + 2 beta is {2 * alpha + 2 * beta:g}, and must be above 1"
    return None


def nodes(features: int) -> tuple[Floats, Floats]:
    """j and weights such that `weights @ g(j)` is the sum of a smooth g over 1 .. features. Up to about 1000 nodes,
    whatever the number of features; relative error about 1e-7."""
    if features <= 2 * HEAD:
        j = np.arange(1.0, features + 1.0)
        return j, np.ones_like(j)
    head = np.arange(1.0, HEAD + 1.0)
    low, high = math.log(HEAD + 0.5), math.log(features + 0.5)
    edges = np.linspace(low, high, math.ceil((high - low) / math.log(PANEL)) + 1)
    place, weight = np.polynomial.legendre.leggauss(POINTS)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    tail = np.exp(middle[:, None] + half[:, None] * place).ravel()
    return np.concatenate([head, tail]), np.concatenate([np.ones(HEAD), (half[:, None] * weight).ravel() * tail])
