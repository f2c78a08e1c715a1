"""The random features of the model `random_features`, and the map between the parameters of two widths.

Data x has `features` independent entries, x_j ~ N(0, j^(-2 alpha)). A model of width d sees W^T x, where the columns of
W are d random directions. Wider models see the same directions and more. Source: arXiv 2405.15074.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from shapeflow.ir.noise import FRESH, Floats, noise

PLAIN_SGD = "sgd(lr: 0.1, momentum: 0, warmup: 0 steps, clip: 1e9, average: 1 steps)"
"""The optimizer that the theory describes, as a file writes it."""
_PLAIN = {"momentum": 0, "weight_decay": 0, "average": 1}
_LOOSE = 1e6
"""A gradient norm that training within the theory never reaches."""


def beyond_plain_sgd(optimizer: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes an optimizer differ from plain SGD: its name, or the names of settings of `sgd`. Empty for plain SGD,
    with any warm-up."""
    if optimizer != "sgd":
        return (optimizer,)
    wrong = [name for name, value in _PLAIN.items() if settings[name] != value]
    return (*wrong, *["clip"] * (settings["clip"] < _LOOSE))


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
