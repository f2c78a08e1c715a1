"""Levenberg-Marquardt on many laws at once: Huber's loss of log residuals, box bounds, in log parameters."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from shapeflow.laws.points import Floats

_STAGES = (1e-1, 3e-2, 1e-2, 3e-3)
"""Wider deltas that the descent passes first: at a small delta the loss is nearly |r|, whose kinks stop it early."""
_STAGE_STEPS, _LAST_STEPS = 6, 60


@attrs.frozen(eq=False)
class Batch:
    """The points of many rows, padded to one length with weight 0; errors are relative to each row's lowest."""

    x: Floats
    y: Floats
    """Log of the relative error."""
    weight: Floats

    @classmethod
    def of(cls, x: Sequence[Floats], e: Sequence[Floats], weight: Sequence[Floats] | None = None) -> Batch:
        length = max(len(row) for row in x)

        def pad(rows: Sequence[Floats], value: float) -> Floats:
            return np.stack([np.pad(row, (0, length - len(row)), constant_values=value) for row in rows])

        return cls(
            pad(x, 1.0), np.log(pad(e, 1.0)), pad([np.ones(len(row)) for row in x] if weight is None else weight, 0.0)
        )

    def rows(self, chosen: np.ndarray) -> Batch:
        return Batch(self.x[chosen], self.y[chosen], self.weight[chosen])


@attrs.frozen(eq=False)
class _Box:
    low: Floats
    high: Floats
    free: np.ndarray


def descend(
    start: Floats, batch: Batch, delta: float, b_range: tuple[float, float], free_b: bool
) -> tuple[Floats, Floats]:
    """From rows (amp, b, c, d) to the local optimum of each, and its objective; never worse than where it started.

    c stays below 1, the lowest relative error of a row; with `free_b` false b stays what it is.
    """
    b_low, b_high = b_range if free_b else (1e-9, 1e9)
    box = _Box(
        np.array([-40.0, np.log(b_low), -20.0, -16.0]),
        np.array([40.0, np.log(b_high), np.log1p(-1e-9), np.log(1e4)]),
        np.array([True, free_b, True, True]),
    )
    theta = np.clip(np.log(np.maximum(start, 1e-300)), box.low, box.high)
    best, least = theta.copy(), _objective(_residual(theta, batch)[0], batch.weight, delta)
    for stage in (*(s for s in _STAGES if s > 1.01 * delta), delta):
        theta = _levenberg(theta, batch, stage, box, _LAST_STEPS if stage == delta else _STAGE_STEPS)
        objective = _objective(_residual(theta, batch)[0], batch.weight, delta)
        better = objective < least
        best[better], least[better] = theta[better], objective[better]
    found = np.exp(best)
    # The low ends of the box stand for 0.
    found[:, 2:] = np.where(best[:, 2:] <= box.low[2:] + 1e-6, 0.0, found[:, 2:])
    return found, least


def _residual(theta: Floats, batch: Batch) -> tuple[Floats, Floats]:
    """log(law) - log(measured), and its derivatives by the four log parameters: (4, rows, points)."""
    amp, b, c, d = (np.exp(theta[:, i, None]) if i else theta[:, 0, None] for i in range(4))
    moved = batch.x + d
    log_moved = np.log(moved)
    part = np.exp(amp - b * log_moved)
    whole = part + c
    share = part / whole
    jacobian = np.stack([share, -share * b * log_moved, c / whole, -share * b * (d / moved)])
    return np.log(whole) - batch.y, jacobian


def _objective(residual: Floats, weight: Floats, delta: float) -> Floats:
    size = np.abs(residual)
    loss = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
    return np.asarray((weight * loss).sum(1))


def _levenberg(theta: Floats, batch: Batch, delta: float, box: _Box, steps: int) -> Floats:
    """At most `steps` damped steps of reweighted least squares at one delta; a row stops where it stalls."""
    theta = theta.copy()
    damping, stalled = np.full(len(theta), 1e-3), np.zeros(len(theta), int)
    value = _objective(_residual(theta, batch)[0], batch.weight, delta)
    active = np.arange(len(theta))
    for _ in range(steps):
        if not len(active):
            break
        now, at = batch.rows(active), theta[active]
        moved = np.clip(at + _step(at, now, delta, damping[active], box), box.low, box.high)
        tried = _objective(_residual(moved, now)[0], now.weight, delta)
        falls = tried < value[active]
        gain = np.where(falls, value[active] - tried, 0.0)
        stalled[active] = np.where(gain <= 1e-9 * np.maximum(value[active], 1e-300), stalled[active] + 1, 0)
        theta[active[falls]], value[active[falls]] = moved[falls], tried[falls]
        damping[active] = np.where(falls, np.maximum(damping[active] / 5, 1e-9), np.minimum(damping[active] * 6, 1e6))
        active = active[stalled[active] < 4]
    return theta


def _step(at: Floats, batch: Batch, delta: float, damping: Floats, box: _Box) -> Floats:
    residual, jacobian = _residual(at, batch)
    weighted = jacobian * (batch.weight * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300)))
    hessian = np.einsum("irn,jrn->rij", weighted, jacobian)
    gradient = np.einsum("irn,rn->ri", weighted, residual)
    # A parameter that stands at its bound and would leave it takes no part in this step.
    pinned = ((at <= box.low + 1e-9) & (gradient > 0)) | ((at >= box.high - 1e-9) & (gradient < 0)) | ~box.free
    gradient = np.where(pinned, 0.0, gradient)
    hessian = np.where(pinned[:, :, None] | pinned[:, None, :], 0.0, hessian)
    diagonal = np.einsum("rii->ri", hessian)
    scale = np.maximum(diagonal, 1e-12 * diagonal.max(1, keepdims=True) + 1e-300)
    ridge = damping[:, None] * scale + np.where(pinned | (scale <= 1e-290), 1.0, 0.0)
    step = np.linalg.solve(hessian + ridge[:, :, None] * np.eye(4), -gradient[:, :, None])[:, :, 0]
    return np.clip(step, -2.0, 2.0)
