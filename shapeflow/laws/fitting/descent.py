"""Batched Levenberg-Marquardt: minimises the Huber loss of many laws at once, with box bounds and a shared exponent.

A row is a group of laws that share one exponent b, in the parameters theta of `huber.py`. The normal matrix of a group
is an arrow matrix: a 3x3 block for each law, coupled only by b. The blocks are eliminated in closed form (Schur
complement), so the cost of a step per law does not depend on the size of the groups.

Each row has its own delta, damping and end of iteration. Waiting rows replace the rows that have ended, so the active
rows are few enough to fit into the cache.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.fitting.huber import PLANES, Batch, Places, huber_loss, look
from shapeflow.laws.logs.points import Floats

Flags = NDArray[np.bool_]

_AT_WORK = 512
"""Number of laws that are active at once."""
_REFILL = 16
"""Waiting rows replace ended rows once at least 1/16 of the active rows have ended."""
_DAMPING = 1e-3
_EARLY_STEPS = 6
_EARLY_GAIN = 1e-2
"""Before the last delta, a row moves on to the next delta after this many steps, or once a step lowers the objective by
less than this fraction."""
_ROUNDING = 0.5 * (4 * np.finfo(float).eps) ** 2
"""The objective of a point whose residual is the rounding of its numbers. A row of points that lie on their laws ends
there: below it, differences of objectives are noise, which no gain bounds. Weights are 1 on average."""
_LOW, _HIGH = np.array([-60.0, 0.0, 0.0, -60.0]), np.array([60.0, np.inf, 1 - 1e-9, np.log(1e4)])
"""Bounds of theta. `Descent.b` narrows the bounds of b, and `Batch.low` those of log first. The upper bound of c is
just below the lowest measured error, which is 1 in the units of theta."""


@attrs.frozen
class Descent:
    """Options of a descent."""

    delta: float
    b: tuple[float, float] | None
    """The bounds of b. None: b is fixed."""
    gain: float
    """A row ends once the actual or predicted decrease of a step is less than this fraction of the objective."""
    steps: int = 200
    """Maximum number of steps at the last delta."""
    stages: tuple[float, ...] = (1e-1, 3e-2, 1e-2, 3e-3)
    """Larger deltas to minimise with first. With a small delta the loss is close to |r|, and its kinks stop a descent
    early."""

    @property
    def deltas(self) -> Floats:
        """All deltas in the order of use; `delta` is the last."""
        return np.array([*(s for s in self.stages if s > 1.01 * self.delta), self.delta])


@attrs.define(eq=False)
class _Work:
    """The active rows."""

    row: Places
    batch: Batch
    theta: Floats
    value: Floats
    """The objective, shape (groups,). Infinite before the first evaluation at the current delta."""
    sums: Floats
    """Sums of products, shape (5, 6, groups, laws); see `look`."""
    stage: Places
    """Index of the current delta."""
    taken: Places
    """Number of evaluations at the current delta."""
    damping: Floats
    ended: Flags

    @classmethod
    def begin(cls, begin: Floats, batch: Batch, count: int) -> _Work:
        """Start with the first `count` rows."""
        row = np.arange(count)
        laws, zero = begin.shape[1], np.zeros(count, np.intp)
        value, sums = np.full(count, np.inf), np.zeros((PLANES - 1, PLANES, count, laws))
        damping = np.full(count, _DAMPING)
        return cls(row, batch.groups(row), begin[row], value, sums, zero, zero.copy(), damping, zero > 0)

    def refill(self, waiting: Places, begin: Floats, batch: Batch) -> None:
        """Replace ended rows by waiting rows. Remove ended rows that are not replaced."""
        free = np.flatnonzero(self.ended)
        taken = free[: len(waiting)]
        self.batch.put(taken, batch, waiting)
        self.row[taken], self.theta[taken], self.stage[taken], self.ended[taken] = waiting, begin[waiting], 0, False
        self.restart(taken)
        if len(free) > len(taken):
            go = np.flatnonzero(~self.ended)
            self.batch, self.sums = self.batch.groups(go), self.sums[:, :, go]
            self.row, self.theta, self.value = self.row[go], self.theta[go], self.value[go]
            self.stage, self.taken, self.damping = self.stage[go], self.taken[go], self.damping[go]
            self.ended = self.ended[go]

    def restart(self, which: Places) -> None:
        """Reset some rows for a new delta. Their next step has length zero, and only evaluates the objective."""
        self.value[which], self.taken[which], self.damping[which] = np.inf, 0, _DAMPING
        self.sums[:, :, which] = 0.0


def descend(begin: Floats, batch: Batch, how: Descent) -> tuple[Floats, Floats]:
    """Return theta at the local optimum of each group, and the objective of each law there.

    `begin`: the start, shape (groups, laws, 4). All laws of a group use the b of its first law. The results have shapes
    (groups, laws, 4) and (groups, laws). The result of a group is never worse than its start.
    """
    begin = np.clip(begin, _LOW, _HIGH)
    begin[..., 3] = np.maximum(begin[..., 3], batch.low)
    begin[..., 1] = begin[:, :1, 1] if how.b is None else np.clip(begin[:, :1, 1], *how.b)
    found, size = begin.copy(), max(_AT_WORK // begin.shape[1], 1)
    work, waiting = _Work.begin(begin, batch, min(size, len(begin))), size
    planes = np.empty((PLANES, len(work.row), *batch.x.shape[1:]))
    while len(work.row):
        with np.errstate(all="ignore"):
            _advance(work, planes[:, : len(work.row)], how)
        over = int(work.ended.sum())
        if over * _REFILL >= len(work.row):
            found[work.row[work.ended]] = work.theta[work.ended]
            work.refill(np.arange(waiting, max(min(waiting + over, len(begin)), waiting)), begin, batch)
            waiting += over
    value, before = huber_loss(found, batch, how.delta), huber_loss(begin, batch, how.delta)
    worse = before.sum(1) < value.sum(1)
    found[worse], value[worse] = begin[worse], before[worse]
    return found, value


def _advance(work: _Work, planes: Floats, how: Descent) -> None:
    """Try one step of every row, and take it if the objective decreases."""
    deltas = how.deltas
    step, promise = _step(work, how)
    tried = _moved(work, step, how)
    value, sums = look(tried, work.batch, deltas[work.stage], planes)
    falls = value < work.value
    first, last = np.isinf(work.value), work.stage == len(deltas) - 1
    enough = np.where(last, how.gain, _EARLY_GAIN) * work.value
    small = ~first & (np.where(falls, work.value - value, promise) <= enough)
    exact = np.minimum(value, work.value) <= _ROUNDING * work.batch.x[0].size
    work.theta[falls] = tried[falls]
    np.copyto(work.value, value, where=falls)
    np.copyto(work.sums, sums, where=falls[:, None])
    work.damping = np.where(falls, np.maximum(work.damping / 5, 1e-9), np.minimum(work.damping * 6, 1e9))
    work.taken += 1
    over = small | exact | ~np.isfinite(work.value) | (work.taken > np.where(last, how.steps, _EARLY_STEPS))
    work.ended |= over & last
    onward = np.flatnonzero(over & ~last)
    work.stage[onward] += 1
    work.restart(onward)


def _moved(work: _Work, step: Floats, how: Descent) -> Floats:
    """Return theta after a step, shape (groups, laws, 4).

    The step is applied to b and log first directly. For amp and c, it is applied to first order to the values of the
    law at the first and last point, and amp and c are solved from these values. A long step then stays in the narrow
    valley in which b trades off against amp and c. If the solution is outside the bounds, or the step does not change
    c, the step is applied to amp and c directly.
    """
    theta, low = work.theta, work.batch.low
    tried = np.clip(theta + step, _LOW, _HIGH)
    tried[..., 3] = np.maximum(tried[..., 3], low)
    if how.b is not None:
        tried[..., 1] = np.clip(tried[..., 1], *how.b)
    log_amp, b, c, log_first = np.moveaxis(theta, -1, 0)
    by_b, by_first = (tried - theta)[..., 1], (tried - theta)[..., 3]
    span = work.batch.x.max(2)
    ends = np.stack([log_first, np.log(span + np.exp(log_first))])
    power = np.exp(log_amp - b * ends)
    change = step[..., 0] - by_b * ends - b * np.exp(log_first - ends) * by_first
    high, low = power * (1 + change) + c + step[..., 2]
    moved = np.stack([tried[..., 3], np.log(span + np.exp(tried[..., 3]))])
    first, last = np.exp(-tried[..., 1] * moved)
    amp = (high - low) / (first - last)
    floor = low - amp * last
    inside = (amp > 0) & (floor > 0) & (floor < _HIGH[2]) & (step[..., 2] != 0)
    tried[..., 0] = np.where(inside, np.log(np.where(inside, amp, 1.0)), tried[..., 0])
    tried[..., 2] = np.where(inside, floor, tried[..., 2])
    return tried


def _step(work: _Work, how: Descent) -> tuple[Floats, Floats]:
    """Return the damped step of every row, shape (groups, laws, 4), and the predicted decrease of its objective."""
    theta, sums = work.theta, work.sums
    gradient = sums[:4, 5]
    scale = 1.0 / np.sqrt(np.maximum(np.stack([sums[i, i] for i in range(4)]), 1e-290))
    # Exclude a parameter from this step if it is at its bound and the step would cross the bound.
    c, log_first = theta[..., 2], theta[..., 3]
    scale[2][((c <= 0) & (gradient[2] > 0)) | ((c >= _HIGH[2]) & (gradient[2] < 0))] = 0.0
    scale[3][((log_first <= work.batch.low) & (gradient[3] < 0)) | ((log_first >= _HIGH[3]) & (gradient[3] > 0))] = 0.0
    s0, s2, s3 = scale[0], scale[2], scale[3]
    ridge = 1.0 + work.damping[:, None]
    right = np.stack([gradient, sums[:4, 1]])[:, [0, 2, 3]] * scale[[0, 2, 3]]
    by_gradient, by_b = _solve3(sums[0, 2] * s0 * s2, sums[0, 3] * s0 * s3, sums[2, 3] * s2 * s3, ridge, right)
    step_b = np.zeros(len(theta))
    if how.b is not None:
        b, pull, whole = theta[:, 0, 1], gradient[1].sum(1), sums[1, 1].sum(1)
        schur = whole * (1 + work.damping) - (right[1] * by_b).sum((0, 2))
        step_b = -(pull - (right[1] * by_gradient).sum((0, 2))) / np.maximum(schur, 1e-14 * whole + 1e-290)
        step_b[((b <= how.b[0]) & (pull < 0)) | ((b >= how.b[1]) & (pull > 0))] = 0.0
        step_b = np.clip(step_b, -1.5 * b, 0.6 * b)
    own = -(by_gradient + by_b * step_b[:, None]) * scale[[0, 2, 3]]
    promise = -0.5 * ((gradient[[0, 2, 3]] * own).sum((0, 2)) + gradient[1].sum(1) * step_b)
    own[2] /= -theta[..., 1] * np.exp(log_first)
    shared = np.broadcast_to(-step_b[:, None], own[0].shape)
    step = np.stack([np.clip(own[0], -2, 2), shared, own[1], np.clip(own[2], -2, 2)], -1)
    return step, promise


def _solve3(h01: Floats, h02: Floats, h12: Floats, ridge: Floats, right: Floats) -> Floats:
    """Solve symmetric 3x3 systems with `ridge` on the whole diagonal. `right`: right-hand sides, shape (2, 3, ...)."""
    l10, l20 = h01 / ridge, h02 / ridge
    d1 = np.maximum(ridge - l10 * h01, 1e-15)
    u12 = h12 - l10 * h02
    l21 = u12 / d1
    d2 = np.maximum(ridge - l20 * h02 - l21 * u12, 1e-15)
    y0 = right[:, 0]
    y1 = right[:, 1] - l10 * y0
    z2 = (right[:, 2] - l20 * y0 - l21 * y1) / d2
    z1 = y1 / d1 - l21 * z2
    z0 = y0 / ridge - l10 * z1 - l20 * z2
    return np.stack([z0, z1, z2], 1)
