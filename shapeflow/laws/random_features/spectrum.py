"""The spectrum of the features of one matrix W: what the loss of SGD depends on."""

from __future__ import annotations

from typing import cast

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.laws.random_features.problem import RandomFeatures


@attrs.frozen(eq=False)
class Spectrum:
    """The eigenvalues of K = D^1/2 W W^T D^1/2, and how much of the target lies along each. Arrays are (n,)."""

    eigenvalues: Floats
    """Ascending, above 0."""
    energy: Floats
    """The part of the target's variance along the eigenvector of each: rho."""
    counts: Floats
    """Number of eigenvalues that each stands for: 1 for a single matrix, any number on average over matrices."""
    residual: float
    """The part of the target's variance that no theta can express: F0."""

    @property
    def start(self) -> float:
        """The loss before the first step."""
        return self.residual + float(self.energy.sum())


def sampled(model: RandomFeatures, matrix: Floats) -> Spectrum:
    """The spectrum for one matrix W of shape (features, width). Uses the singular values of D^1/2 W, since the
    eigenvalues of K span more digits than float64 has, and takes them from the triangle of its QR decomposition, which
    has the same.

    Raises ValueError if the matrix has another shape.
    """
    if matrix.shape != (model.features, model.width):
        raise ValueError(f"the matrix is {matrix.shape}, not {(model.features, model.width)}")
    j = np.arange(1.0, model.features + 1.0)
    seen, target = np.sqrt(model.variances(j))[:, None] * matrix, np.sqrt(model.energies(j))
    # The last column of the triangle is the target in the basis of Q: Q itself is not needed.
    triangle, n = cast("Floats", np.linalg.qr(np.column_stack([seen, target]), mode="r")), int(model.width)
    left, singular, _ = np.linalg.svd(triangle[:n, :n])
    energy, residual = (left.T @ triangle[:n, n]) ** 2, float((triangle[n:, n] ** 2).sum())
    return Spectrum(singular[::-1] ** 2, energy[::-1], np.ones(n), residual)


def diagonal(model: RandomFeatures) -> Spectrum:
    """The spectrum of a variant without randomness: the model sees the first `width` features themselves."""
    j = np.arange(1.0, model.features + 1.0)
    seen = int(model.width)
    variance, energy = model.variances(j), model.energies(j)
    return Spectrum(variance[:seen][::-1], energy[:seen][::-1], np.ones(seen), float(energy[seen:].sum()))
