"""Fit loss = E + A / N^alpha + B / D^beta to all sizes at once, by variable projection and Levenberg-Marquardt.

For given alpha and beta the law is linear in E, A and B, so a grid over (alpha, beta) with a closed-form solution in
each cell finds the basins of the five-dimensional problem (variable projection, Golub and Pereyra 1973). A batched
descent from the lowest cells finds the optimum of the Huber loss of log(law) - log(measured) (Hoffmann et al. 2022).
Sizes, tokens and losses are scaled by the data, so the result does not depend on their units.
"""

from __future__ import annotations

import itertools

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.joint import EXPONENTS
from shapeflow.laws.logs.points import Floats

LOW, HIGH = EXPONENTS
GRID = 14
STARTS = 6
_SMALL, _LARGE = -30.0, 12.0
"""Bounds of the logs of the terms, relative to the lowest loss and at the middle of the data."""
_STAGES = (1e-1, 3e-2, 1e-2, 3e-3)
"""Larger deltas to minimise with first, since the kinks of a small delta stop a descent early."""
_STEPS, _EARLY = 120, 8
_GAIN = 1e-9
_ELEMENTS = 1 << 17
"""Number of points of all rows that are active at once: they fit into the cache."""


@attrs.frozen(eq=False)
class JointPoints:
    """Measurements of the loss: one entry of each array for each point."""

    size: Floats
    """Parameters."""
    tokens: Floats
    error: Floats
    run: NDArray[np.intp]
    """Index of the run: 0, 1, ... The points of a run follow each other, in order of tokens."""

    def chosen(self, which: NDArray[np.bool_]) -> JointPoints:
        """Return the points that the mask `which` selects."""
        return JointPoints(self.size[which], self.tokens[which], self.error[which], self.run[which])


@attrs.frozen(eq=False)
class _Scaled:
    """Points in scaled units: logs of size and tokens minus their middle, loss relative to the lowest."""

    n: Floats
    d: Floats
    middle: tuple[float, float]
    lowest: float

    @classmethod
    def of(cls, points: JointPoints) -> _Scaled:
        n, d = np.log(points.size), np.log(points.tokens)
        middle = float(0.5 * (n.min() + n.max())), float(0.5 * (d.min() + d.max()))
        return cls(n - middle[0], d - middle[1], middle, float(points.error.min()))

    def outward(self, theta: Floats) -> Floats:
        """Return (E, A, B, alpha, beta), shape (..., 5), of theta."""
        e, a, b, alpha, beta = np.moveaxis(theta, -1, 0)
        scaled = self.lowest * np.exp([e, a + alpha * self.middle[0], b + beta * self.middle[1]])
        # A term at its lower bound is 0.
        scaled[0] = np.where(e <= _SMALL, 0.0, scaled[0])
        return np.stack([*scaled, alpha, beta], -1)

    def inward(self, law: Floats) -> Floats:
        """Return theta of (E, A, B, alpha, beta), shape (..., 5)."""
        E, A, B, alpha, beta = np.moveaxis(law, -1, 0)
        e = np.log(np.maximum(E / self.lowest, np.exp(_SMALL)))
        a, b = (np.log(x / self.lowest) for x in (A, B))
        return np.stack([e, a - alpha * self.middle[0], b - beta * self.middle[1], alpha, beta], -1)


def fit_joint(points: JointPoints, delta: float) -> Floats:
    """Return (E, A, B, alpha, beta) of the law with the lowest Huber loss of log residuals."""
    scaled = _Scaled.of(points)
    error, weight = (points.error / scaled.lowest)[None], np.ones((1, len(points.error)))
    begin = _starts(scaled, error, weight, STARTS)[0]
    rows = np.repeat(np.log(error), len(begin), 0), np.repeat(weight, len(begin), 0)
    theta, value = _descend(begin, scaled, *rows, delta, _STAGES)
    best = theta[value.argmin()][None]
    theta, _ = _descend(best, scaled, np.log(error), weight, delta, ())
    return np.asarray(scaled.outward(theta[0]))


def fit_joint_draws(points: JointPoints, fitted: Floats, error: Floats, weight: Floats, delta: float) -> Floats:
    """Return (E, A, B, alpha, beta) of every resample, shape (resamples, 5). `error`, `weight`: the errors and the
    weights of the points in each, shape (1 or resamples, points). `fitted`: the law of all points, where a descent
    begins as well as in the best cell of the grid."""
    scaled = _Scaled.of(points)
    count = max(len(error), len(weight))
    error = np.broadcast_to(error / scaled.lowest, (count, error.shape[1]))
    weight = np.broadcast_to(weight, error.shape)
    own = _starts(scaled, error, weight, 1)[:, 0]
    begin = np.concatenate([np.broadcast_to(scaled.inward(fitted), own.shape), own])
    theta, value = _descend(begin, scaled, np.tile(np.log(error), (2, 1)), np.tile(weight, (2, 1)), delta, _STAGES[2:])
    best = value.reshape(2, count).argmin(0)
    return np.asarray(scaled.outward(theta.reshape(2, count, 5)[best, np.arange(count)]))


def predicted(law: Floats, size: Floats, tokens: Floats) -> Floats:
    """Return the loss, by (E, A, B, alpha, beta) of shape (..., 5): shape (..., points)."""
    E, A, B, alpha, beta = (part[..., None] for part in np.moveaxis(np.asarray(law), -1, 0))
    return np.asarray(E + np.exp(np.log(A) - alpha * np.log(size)) + np.exp(np.log(B) - beta * np.log(tokens)))


def huber(residual: Floats, delta: float) -> Floats:
    """Return the Huber loss of residuals, element by element."""
    large = np.abs(residual)
    inner = np.minimum(large, delta)
    return np.asarray(inner * (large - 0.5 * inner))


def directions(points: JointPoints, law: Floats) -> Floats:
    """Return an orthonormal basis of the changes of log loss that a fit absorbs, shape (points, at most 5)."""
    scaled = _Scaled.of(points)
    shares = _terms(scaled.inward(law)[None], scaled)[0]
    columns = (shares / shares.sum(0)).T
    columns = np.concatenate([columns, columns[:, 1:] * np.stack([scaled.n, scaled.d], 1)], 1)
    length = np.linalg.norm(columns, axis=0)
    basis, strength, _ = np.linalg.svd(columns[:, length > 0] / length[length > 0], full_matrices=False)
    return np.asarray(basis[:, strength > 1e-9 * strength[0]])


def _starts(scaled: _Scaled, error: Floats, weight: Floats, count: int) -> Floats:
    """Return `count` starts of each row, shape (rows, count, 5): the lowest cells of the grid in weighted relative
    squares."""
    axis = np.geomspace(0.05, 2.0, GRID)
    alpha, beta = (each.ravel() for each in np.meshgrid(axis, axis, indexing="ij"))
    u, v = np.exp(-axis[:, None] * scaled.n), np.exp(-axis[:, None] * scaled.d)
    parts, rest = _project(weight / error**2, error, u, v)
    order = np.argsort(rest, axis=1)[:, :count]
    logs = np.log(np.maximum(np.take_along_axis(parts, order[..., None], 1), 1e-9))
    return np.concatenate([logs, alpha[order][..., None], beta[order][..., None]], -1)


def _project(weight: Floats, error: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return (E, A, B) of 0 or more in each cell of the grid, shape (rows, cells, 3), and their sums of squares.

    The sums over points are matrix products, since all rows share the powers of the grid. `u`, `v`: powers of size and
    tokens, shape (exponents, points).
    """
    rows, cells = len(weight), len(u) * len(v)
    first, second = np.repeat(np.arange(len(u)), len(v)), np.tile(np.arange(len(v)), len(u))
    wy = weight * error
    normal, right = np.empty((rows, cells, 3, 3)), np.empty((rows, cells, 3))
    normal[:, :, 0, 0] = weight.sum(1)[:, None]
    normal[:, :, 0, 1], normal[:, :, 0, 2] = (weight @ u.T)[:, first], (weight @ v.T)[:, second]
    normal[:, :, 1, 1], normal[:, :, 2, 2] = (weight @ (u**2).T)[:, first], (weight @ (v**2).T)[:, second]
    normal[:, :, 1, 2] = weight @ (u[first] * v[second]).T
    for i, j in ((1, 0), (2, 0), (2, 1)):
        normal[:, :, i, j] = normal[:, :, j, i]
    right[:, :, 0] = wy.sum(1)[:, None]
    right[:, :, 1], right[:, :, 2] = (wy @ u.T)[:, first], (wy @ v.T)[:, second]
    whole = (wy * error).sum(1)[:, None]
    best, least = np.zeros((rows, cells, 3)), np.full((rows, cells), np.inf)
    for face in itertools.chain.from_iterable(itertools.combinations(range(3), size) for size in (3, 2, 1)):
        on = list(face)
        inner = normal[:, :, on][:, :, :, on]
        ridge = 1e-12 * np.einsum("rcii->rc", inner)[..., None, None] * np.eye(len(on))
        found = np.linalg.solve(inner + ridge, right[:, :, on, None])[..., 0]
        rest = whole - (found * right[:, :, on]).sum(-1)
        better = (found >= 0).all(-1) & (rest < least)
        least = np.where(better, rest, least)
        placed = np.zeros_like(best)
        placed[:, :, on] = found
        best = np.where(better[..., None], placed, best)
    return best, least


def _terms(theta: Floats, scaled: _Scaled) -> Floats:
    """Return the three terms of the law at each point, shape (rows, 3, points)."""
    e, a, b, alpha, beta = (theta[:, i, None] for i in range(5))
    return np.stack([np.exp(e + 0 * scaled.n), np.exp(a - alpha * scaled.n), np.exp(b - beta * scaled.d)], 1)


def _descend(
    begin: Floats, scaled: _Scaled, y: Floats, weight: Floats, delta: float, stages: tuple[float, ...]
) -> tuple[Floats, Floats]:
    """Return theta at the local optimum of each row and its objective. `y`: log loss. Rows are taken in portions that
    fit into the cache."""
    theta, value = begin.copy(), np.empty(len(begin))
    portion = max(_ELEMENTS // len(scaled.n), 1)
    for low in range(0, len(begin), portion):
        rows = slice(low, low + portion)
        theta[rows], value[rows] = _portion(begin[rows], scaled, y[rows], weight[rows], delta, stages)
    return theta, value


def _portion(
    begin: Floats, scaled: _Scaled, y: Floats, weight: Floats, delta: float, stages: tuple[float, ...]
) -> tuple[Floats, Floats]:
    theta = _bounded(begin)
    for each in (*(stage for stage in stages if stage > 1.01 * delta), delta):
        steps = _STEPS if each == delta else _EARLY
        theta = _marquardt(theta, scaled, y, weight, each, steps)
    residual = np.log(_terms(theta, scaled).sum(1)) - y
    return theta, np.asarray((weight * huber(residual, delta)).sum(1))


def _marquardt(theta: Floats, scaled: _Scaled, y: Floats, weight: Floats, delta: float, steps: int) -> Floats:
    """Return theta after at most `steps` steps of each row. A row ends once a step lowers its objective by less than
    `_GAIN`, as a fraction."""
    theta = theta.copy()
    value, gradient, normal = _look(theta, scaled, y, weight, delta)
    damping = np.full(len(theta), 1e-3)
    active = np.arange(len(theta))
    for _ in range(steps):
        step = _step(theta[active], gradient[active], normal[active], damping[active])
        tried = _bounded(theta[active] + step)
        found = _look(tried, scaled, y[active], weight[active], delta)
        falls = found[0] < value[active]
        small = falls & (value[active] - found[0] <= _GAIN * value[active])
        at = active[falls]
        theta[at], value[at], gradient[at], normal[at] = tried[falls], *(part[falls] for part in found)
        damping[active] = np.where(falls, damping[active] / 5, damping[active] * 6)
        damping = np.maximum(damping, 1e-10)
        active = active[~small & (damping[active] < 1e8)]
        if not len(active):
            break
    return theta


def _bounded(theta: Floats) -> Floats:
    theta = theta.copy()
    theta[:, :3] = np.clip(theta[:, :3], _SMALL, _LARGE)
    theta[:, 3:] = np.clip(theta[:, 3:], LOW, HIGH)
    return theta


def _step(theta: Floats, gradient: Floats, normal: Floats, damping: Floats) -> Floats:
    """Return the damped step of every row, shape (rows, 5). A parameter at a bound that the step would cross is left
    out."""
    low, high = np.array([_SMALL] * 3 + [LOW] * 2), np.array([_LARGE] * 3 + [HIGH] * 2)
    held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    size = np.sqrt(np.maximum(np.einsum("rii->ri", normal), 1e-290))
    scale = np.where(held, 0.0, 1 / size)
    matrix = normal * scale[:, :, None] * scale[:, None, :]
    matrix[:, range(5), range(5)] = 1 + damping[:, None]
    step = -scale * np.linalg.solve(matrix, (scale * gradient)[..., None])[..., 0]
    return np.asarray(np.clip(step, -2.0, 2.0))


def _look(theta: Floats, scaled: _Scaled, y: Floats, weight: Floats, delta: float) -> tuple[Floats, Floats, Floats]:
    """Return the objective of each row, its gradient and its Gauss-Newton matrix. Points whose residual is above delta
    have the weight (delta / |r|)^2 in the matrix, as in `laws/fitting/huber.py`."""
    terms = _terms(theta, scaled)
    whole = terms.sum(1)
    residual = np.log(whole) - y
    inside = np.minimum(delta / np.maximum(np.abs(residual), 1e-300), 1.0) * np.sqrt(weight)
    planes = np.empty((len(theta), 6, len(scaled.n)))
    planes[:, :3] = terms * (inside / whole)[:, None]
    planes[:, 3] = -scaled.n * planes[:, 1]
    planes[:, 4] = -scaled.d * planes[:, 2]
    planes[:, 5] = residual * np.sqrt(weight)
    products = planes[:, :5] @ planes.swapaxes(1, 2)
    value = (weight * huber(residual, delta)).sum(1)
    return value, products[:, :, 5], products[:, :, :5]
