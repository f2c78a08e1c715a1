"""The random features of the model `random_features`, and the map between the parameters of two widths.

Data x has `features` independent entries, x_j ~ N(0, j^(-2 alpha)). A model of width d sees W^T x, where the columns of
W are d random directions. Wider models see the same directions and more. Source: arXiv 2405.15074.
"""

from __future__ import annotations

import math

import numpy as np

from shapeflow.ir.noise import FRESH, Floats, noise


def random_matrix(seed: int, features: int, width: int) -> Floats:
    """W, (features, width): independent normals of variance 1 / width. Up to its scale it is the beginning of that of
    every larger width of the same seed."""
    drawn = noise(seed, FRESH, "features", "", 0, features * width)
    return np.asarray(drawn.reshape(width, features).T / math.sqrt(width))


def deviations(alpha: float, features: int) -> Floats:
    """(features,): the standard deviation of each entry of the data, j^-alpha."""
    return np.asarray(np.arange(1.0, features + 1.0) ** -alpha)


def projection(seed: int, features: int, alpha: float, old: int, to: int) -> Floats:
    """(to, old): maps the parameters of one width to those of another that predict best what the first one predicts:
    Cov(phi', phi) Cov(phi)^-1, with phi = W^T x and phi' the features of the other width."""
    widest = max(old, to)
    seen = deviations(alpha, features)[:, None] * random_matrix(seed, features, widest) * math.sqrt(widest)
    before, after = seen[:, :old] / math.sqrt(old), seen[:, :to] / math.sqrt(to)
    # Least squares of the old features: the covariance itself spans the square of their digits.
    return np.asarray(np.linalg.lstsq(before, after, rcond=None)[0].T)
