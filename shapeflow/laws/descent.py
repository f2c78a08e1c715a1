"""Levenberg-Marquardt on many laws at once: Huber's loss of residuals in log error, box bounds, a shared exponent.

Rows are groups of laws; the laws of a group share one exponent. The unknowns of a law are theta = (log amp, b, c,
log first): its error after compute x, in the set's own units, is amp (x - x_first + first)^-b + c, so `first` is the
moved compute of the first point. In these the law is nearly linear, and bounds on c and d are bounds on one unknown.

Sharing b makes the normal matrix of a group an arrow: a block of three for each law, coupled by b alone. The blocks are
eliminated in closed form (Schur complement), so a step costs as much with many laws in a group as with one in each.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.points import Floats

Flags = NDArray[np.bool_]

_STAGES = (1e-1, 3e-2, 1e-2, 3e-3)
"""Wider deltas that the descent passes first: at a small delta the loss is nearly |r|, whose kinks stop it early."""
_STAGE_STEPS, _LAST_STEPS = 6, 60
_OWN = (0, 2, 3)
"""The unknowns that no law shares."""


@attrs.frozen(eq=False)
class Batch:
    """The points of groups of laws, (groups, laws, points); an axis of groups of length 1 serves them all.

    Sets of different length are padded with points of weight 0.
    """

    x: Floats
    """Compute above the set's first."""
    y: Floats
    """What is fitted: the log of the relative error, or with `linear` the error itself."""
    weight: Floats
    linear: bool = False

    def groups(self, chosen: NDArray[np.intp]) -> Batch:
        """Some of the groups."""
        x, y, weight = (part if len(part) == 1 else part[chosen] for part in (self.x, self.y, self.weight))
        return Batch(x, y, weight, self.linear)


@attrs.frozen(eq=False)
class Box:
    """Bounds of the unknowns, (groups, laws, 4) as in a batch and (4,), and whether b moves at all."""

    low: Floats
    high: Floats
    free_b: bool

    def groups(self, chosen: NDArray[np.intp]) -> Box:
        """Some of the groups."""
        return self if len(self.low) == 1 else Box(self.low[chosen], self.high, self.free_b)


@attrs.frozen(eq=False)
class _Local:
    """What one evaluation tells: values (groups,), the gradient (4, groups, laws) and matrix (4, 4, groups, laws)."""

    value: Floats
    gradient: Floats
    matrix: Floats

    def keep(self, which: Flags, other: _Local) -> _Local:
        """The other's groups where `which` is true."""
        return _Local(
            np.where(which, other.value, self.value),
            np.where(which[:, None], other.gradient, self.gradient),
            np.where(which[:, None], other.matrix, self.matrix),
        )

    def groups(self, chosen: NDArray[np.intp] | Flags) -> _Local:
        return _Local(self.value[chosen], self.gradient[:, chosen], self.matrix[:, :, chosen])


def descend(theta: Floats, batch: Batch, delta: float, box: Box) -> tuple[Floats, Floats]:
    """From theta (groups, laws, 4) to the local optimum of each group, and its objective (groups, laws).

    b of the first law of a group is that of all. Never worse than where it started.
    """
    theta = np.clip(theta, box.low, box.high)
    theta[..., 1] = theta[:, :1, 1]
    best, least = theta.copy(), objective(theta, batch, delta).sum(1)
    for stage in (*(s for s in _STAGES if s > 1.01 * delta), delta):
        theta = _levenberg(theta, batch, stage, box, _LAST_STEPS if stage == delta else _STAGE_STEPS)
        value = objective(theta, batch, delta).sum(1)
        better = value < least
        best[better], least[better] = theta[better], value[better]
    return best, objective(best, batch, delta)


def objective(theta: Floats, batch: Batch, delta: float) -> Floats:
    """Huber's loss of the residuals, summed over the points of each law: (groups, laws)."""
    residual = _residual(theta, batch)[0]
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return np.asarray((batch.weight * (inner * (size - 0.5 * inner))).sum(2))


def _residual(theta: Floats, batch: Batch) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Residuals, and by the way: the moved compute, its log, the power law alone and the whole law."""
    log_amp, b, c, log_first = (theta[..., i, None] for i in range(4))
    moved = batch.x + np.exp(log_first)
    log_moved = np.log(moved)
    power = np.exp(log_amp - b * log_moved)
    whole = power + c
    return (whole if batch.linear else np.log(whole)) - batch.y, moved, log_moved, power, whole


def _look(theta: Floats, batch: Batch, delta: float) -> _Local:
    """Objective, gradient and the reweighted Gauss-Newton matrix at theta."""
    residual, moved, log_moved, power, whole = _residual(theta, batch)
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    value = np.einsum("gln,gln->g", np.broadcast_to(batch.weight, size.shape), inner * (size - 0.5 * inner))
    rows = np.empty((*size.shape[:2], 5, size.shape[2]))
    rows[:, :, 2] = 1.0 if batch.linear else 1.0 / whole
    np.multiply(power, rows[:, :, 2], out=rows[:, :, 0])
    np.multiply(rows[:, :, 0], log_moved, out=rows[:, :, 1])
    np.divide(rows[:, :, 0], moved, out=rows[:, :, 3])
    rows[:, :, 4] = residual
    weight = batch.weight * (inner / np.maximum(size, 1e-300))
    products = np.matmul(rows, (rows * weight[:, :, None]).swapaxes(2, 3))
    first = np.exp(theta[..., 3])
    scale = np.ones((5, *theta.shape[:2]))
    scale[1], scale[3] = -1.0, -theta[..., 1] * first
    matrix = np.moveaxis(products, (2, 3), (0, 1)) * scale[:, None] * scale[None]
    return _Local(value, matrix[:4, 4], matrix[:4, :4])


def _levenberg(theta: Floats, batch: Batch, delta: float, box: Box, steps: int) -> Floats:
    """At most `steps` damped steps of reweighted least squares at one delta; a group stops where it stalls."""
    theta, out = theta.copy(), theta.copy()
    damping, stalled, active = np.full(len(theta), 1e-3), np.zeros(len(theta), int), np.arange(len(theta))
    now, local = batch, _look(theta, batch, delta)
    for _ in range(steps):
        tried = np.clip(theta + _step(theta, local, damping, box), box.low, box.high)
        there = _look(tried, now, delta)
        falls = there.value < local.value
        gain = np.where(falls, local.value - there.value, 0.0)
        stalled = np.where(gain <= 1e-9 * np.maximum(local.value, 1e-300), stalled + 1, 0)
        damping = np.where(falls, np.maximum(damping / 5, 1e-9), np.minimum(damping * 6, 1e6))
        theta, local = np.where(falls[:, None, None], tried, theta), local.keep(falls, there)
        out[active] = theta
        if (stalled >= 4).any():
            go = np.flatnonzero(stalled < 4)
            if not len(go):
                break
            theta, local, now, box = theta[go], local.groups(go), now.groups(go), box.groups(go)
            damping, stalled, active = damping[go], stalled[go], active[go]
    return out


def _step(theta: Floats, local: _Local, damping: Floats, box: Box) -> Floats:
    """The damped Newton step of every group: (groups, laws, 4)."""
    pinned = np.moveaxis((theta <= box.low + 1e-12) & (local.gradient.transpose(1, 2, 0) > 0), 2, 0) | np.moveaxis(
        (theta >= box.high - 1e-12) & (local.gradient.transpose(1, 2, 0) < 0), 2, 0
    )
    own = np.array(_OWN)
    fixed = pinned[own]
    gradient = np.where(fixed, 0.0, local.gradient[own])
    diagonal = np.stack([local.matrix[i, i] for i in _OWN])
    size = np.sqrt(np.where(fixed | (diagonal <= 1e-290), 1.0, diagonal))
    block = np.where(fixed[:, None] | fixed[None], 0.0, local.matrix[own[:, None], own]) / size[:, None] / size[None]
    right = np.stack([gradient / size, np.where(fixed, 0.0, local.matrix[1, own]) / size])
    ridge = 1.0 + damping[:, None]
    by_gradient, by_b = _solve3(block, ridge, right)
    step = np.empty((*theta.shape[:2], 4))
    step_b = np.zeros(len(theta))
    if box.free_b:
        pull = local.gradient[1].sum(1)
        b = theta[:, 0, 1]
        held = ((b <= box.low[:, 0, 1]) & (pull > 0)) | ((b >= box.high[1]) & (pull < 0))
        whole = local.matrix[1, 1].sum(1)
        schur = whole * (1 + damping) - (right[1] * by_b).sum((0, 2))
        lead = pull - (right[1] * by_gradient).sum((0, 2))
        step_b = np.where(held, 0.0, -lead / np.maximum(schur, 1e-14 * whole + 1e-300))
        step_b = np.clip(step_b, -0.6 * b, 1.5 * b)
    step[..., 1] = step_b[:, None]
    for place, i in enumerate(_OWN):
        step[..., i] = np.clip(-(by_gradient[place] + by_b[place] * step_b[:, None]) / size[place], -2.0, 2.0)
    return step


def _solve3(block: Floats, ridge: Floats, right: Floats) -> Floats:
    """Symmetric systems of three with `ridge` as diagonal, (3, 3, ...), for right sides (2, 3, ...)."""
    u01, u02, h12 = block[0, 1], block[0, 2], block[1, 2]
    l10, l20 = u01 / ridge, u02 / ridge
    d1 = np.maximum(ridge - l10 * u01, 1e-15)
    u12 = h12 - l10 * u02
    l21 = u12 / d1
    d2 = np.maximum(ridge - l20 * u02 - l21 * u12, 1e-15)
    first = right[:, 0]
    second = right[:, 1] - l10 * first
    third = (right[:, 2] - l20 * first - l21 * second) / d2
    second = (second - u12 * third) / d1
    first = (first - u01 * second - u02 * third) / ridge
    return np.stack([first, second, third], 1)
