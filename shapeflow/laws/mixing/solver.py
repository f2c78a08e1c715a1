"""Fit the two-skill form to pilots: many starts, or many resamples, in one descent.

Levenberg-Marquardt on soft-L1 residuals, projected on the bounds. Each run counts as `VALUES` independent values: its
errors share a level, so that more measurements of a run are not more evidence.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import B, C, K, Kinds, errors, slopes

VALUES = 3.0
SCALE = 2.0
"""Residual, in standard deviations, at which the loss changes from quadratic to linear."""
STARTS = 8
STEPS, GAIN = 200, 1e-10
A_BOUNDS, B_BOUNDS, LAM_BOUNDS, K_BOUNDS = (1e-4, 50.0), (0.1, 1.5), (1e-5, 5.0), (0.02, 30.0)
"""Bounds, with errors in units of nats or shares, and data in units of the median of all points."""
C_LOW = 1e-3
B_PRIOR, LAM_PRIOR, K_PRIOR = (math.log(0.5), 0.35), (math.log(0.03), 2.0), (0.0, 1.0)
"""Mean and standard deviation of weak log-normal priors."""


@attrs.frozen(eq=False)
class Data:
    """What a fit sees. `data`: (points, shapes) in units of the fit; `run`: (points,), the run of each point;
    `deviation`: (runs,), the standard deviation of a run's level and of a point."""

    data: Floats
    run: Floats
    deviation: float
    values: float = VALUES
    """The number of independent values that a run counts as, at most."""
    centre: Floats | None = None
    """(sets, parameters - 2): means of the priors, in place of the usual ones."""

    def of(self, sets: NDArray[np.intp]) -> Data:
        """The same points for some of the sets."""
        return self if self.centre is None else attrs.evolve(self, centre=self.centre[sets])

    @property
    def weight(self) -> Floats:
        """(points,): the inverse of each point's standard deviation."""
        counts = np.bincount(self.run.astype(int))[self.run.astype(int)]
        return np.asarray(np.sqrt(np.minimum(1.0, self.values / counts)) / self.deviation)


@attrs.frozen(eq=False)
class Bounds:
    """(parameters,) or (sets, parameters): the ends of each parameter."""

    low: Floats
    high: Floats

    @classmethod
    def of(cls, error: Floats, groups: int) -> Bounds:
        """`error`: (sets, points). The floor c is below every error."""
        pairs = (A_BOUNDS, B_BOUNDS, LAM_BOUNDS, *[K_BOUNDS] * groups)
        low = np.array([C_LOW, *(math.log(pair[0]) for pair in pairs)])
        high = np.array([0.0, *(math.log(pair[1]) for pair in pairs)])
        highs = np.broadcast_to(high, (len(error), len(high))).copy()
        highs[:, C] = error.min(1) - 1e-3
        return cls(np.broadcast_to(low, highs.shape), highs)


def priors(groups: int) -> tuple[Floats, Floats]:
    """(parameters - 2,): means and standard deviations of the priors."""
    pairs = [B_PRIOR, LAM_PRIOR, *[K_PRIOR] * groups]
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])


def prior(theta: Floats, centre: Floats | None) -> tuple[Floats, Floats]:
    """(sets, parameters - 2): the residuals of the priors, and the inverse of their standard deviations."""
    mean, deviation = priors(theta.shape[1] - K)
    found = (theta[:, B:] - (mean if centre is None else centre)) / deviation
    return found, np.broadcast_to(1 / deviation, found.shape)


def objective(theta: Floats, error: Floats, points: Data, kinds: Kinds) -> Floats:
    """(sets,): the soft-L1 loss of all residuals, priors included."""
    residual = (errors(theta, points.data, kinds) - error) * points.weight
    both = np.concatenate([residual, prior(theta, points.centre)[0]], 1)
    return np.asarray((2 * (np.hypot(1, both / SCALE) - 1)).sum(1))


def descend(theta: Floats, error: Floats, points: Data, kinds: Kinds) -> tuple[Floats, Floats]:
    """The optima of independent descents, (sets, parameters), and their objectives, (sets,). `theta`: where each
    begins; `error`: (sets, points)."""
    bounds = Bounds.of(error, len(kinds.groups))
    theta = np.clip(theta, bounds.low + 1e-6, bounds.high - 1e-6)
    value = objective(theta, error, points, kinds)
    damping, open_ = np.full(len(theta), 1e-2), np.arange(len(theta))
    for _ in range(STEPS):
        here, rows = theta[open_], Bounds(bounds.low[open_], bounds.high[open_])
        own = points.of(open_)
        matrix, slope = _normal(here, error[open_], own, kinds, rows)
        scale = np.einsum("sii->si", matrix)
        damped = matrix + damping[open_, None, None] * np.einsum("si,ij->sij", scale, np.eye(matrix.shape[1]))
        moved = np.clip(here - np.linalg.solve(damped, slope[..., None])[..., 0], rows.low, rows.high)
        after = objective(moved, error[open_], own, kinds)
        better = after < value[open_]
        gain = np.where(better, (value[open_] - after) / np.maximum(value[open_], 1e-300), 1.0)
        theta[open_[better]], value[open_[better]] = moved[better], after[better]
        damping[open_] = np.clip(damping[open_] * np.where(better, 0.2, 5.0), 1e-12, 1e12)
        open_ = open_[(gain > GAIN) & (damping[open_] < 1e10)]
        if not len(open_):
            break
    return theta, value


def _normal(theta: Floats, error: Floats, points: Data, kinds: Kinds, bounds: Bounds) -> tuple[Floats, Floats]:
    """The weighted normal equations; parameters that stand at a bound and would leave it do not move."""
    found, jacobian = slopes(theta, points.data, kinds)
    residual, jacobian = (found - error) * points.weight, jacobian * points.weight[:, None]
    weak, spread = prior(theta, points.centre)
    rate, weak_rate = (1 / np.hypot(1, one / SCALE) for one in (residual, weak))
    turned = jacobian.transpose(0, 2, 1)
    matrix = turned @ (jacobian * rate[..., None])
    slope = (turned @ (rate * residual)[..., None])[..., 0]
    slope[:, B:] += weak_rate * weak * spread
    places = np.arange(B, theta.shape[1])
    matrix[:, places, places] += weak_rate * spread**2
    stuck = ((theta <= bounds.low) & (slope > 0)) | ((theta >= bounds.high) & (slope < 0))
    free = ~stuck
    matrix = np.where(free[:, :, None] & free[:, None, :], matrix, 0.0) + np.einsum(
        "si,ij->sij", stuck, np.eye(theta.shape[1])
    )
    return matrix, np.where(stuck, 0.0, slope)


def starts(error: Floats, groups: int, seed: int = 0) -> Floats:
    """(starts, parameters): where the descents begin. `error`: (points,)."""
    random, rows = np.random.default_rng(seed), []
    for _ in range(STARTS):
        c = error.min() * random.uniform(0.5, 0.95)
        level = math.log(max(float(error.max()) - c, 0.01) * 0.5)
        b, lam = math.log(random.uniform(0.25, 0.8)), math.log(10 ** random.uniform(-3, -0.7))
        rows.append([c, level, b, lam, *random.normal(0, 0.5, groups)])
    return np.array(rows)
