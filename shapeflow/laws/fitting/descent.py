"""Levenberg-Marquardt on many laws at once: Huber's loss of residuals in log error, box bounds, a shared exponent.

Rows are groups of laws, in the unknowns theta of `huber.py`; the laws of a group share one exponent. That
makes the normal matrix of a group an arrow: a block of three for each law, coupled by b alone. The blocks are
eliminated in closed form (Schur complement), so a step costs as much with many laws in a group as with one in each.

Every row keeps its own pace: its own delta, damping and end. Rows that have ended make room for those that wait, so
that few enough are at work to stay in a cache.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.fitting.huber import PLANES, Batch, Places, huber_loss, look
from shapeflow.laws.logs.points import Floats

Flags = NDArray[np.bool_]

_AT_WORK = 512
"""Laws that are looked at together."""
_REFILL = 16
"""Rows that wait come in when one part in so many has ended."""
_DAMPING = 1e-3
_EARLY_STEPS = 6
_EARLY_GAIN = 1e-2
"""Before the last delta a row goes on to the next after so many steps, or where one gained less than this part."""
_LOW, _HIGH = np.array([-60.0, 0.0, 0.0, -60.0]), np.array([60.0, np.inf, 1 - 1e-9, np.log(1e4)])
"""Bounds of theta; a batch brings its own for b and log first. c stays below the lowest error seen, which is 1."""


@attrs.frozen
class Descent:
    """How far down, and how."""

    delta: float
    b: tuple[float, float] | None
    """The bounds of b; None: it stays what it is."""
    gain: float
    """A row ends where a step gains, or promises, less than this part of the objective."""
    steps: int = 200
    """A row ends after so many at the last delta."""
    stages: tuple[float, ...] = (1e-1, 3e-2, 1e-2, 3e-3)
    """Wider deltas that are passed first: at a small one the loss is nearly |r|, whose kinks stop a descent early."""

    @property
    def deltas(self) -> Floats:
        """All that are passed, the last one last."""
        return np.array([*(s for s in self.stages if s > 1.01 * self.delta), self.delta])


@attrs.define(eq=False)
class _Work:
    """The rows at work."""

    row: Places
    batch: Batch
    theta: Floats
    value: Floats
    """(groups,): infinite before the first look at the present delta."""
    sums: Floats
    """(5, 6, groups, laws): see `look`."""
    stage: Places
    taken: Places
    """Steps at the present delta."""
    damping: Floats
    ended: Flags

    @classmethod
    def begin(cls, begin: Floats, batch: Batch, count: int) -> _Work:
        """With the first `count` rows."""
        row = np.arange(count)
        laws, zero = begin.shape[1], np.zeros(count, np.intp)
        value, sums = np.full(count, np.inf), np.zeros((PLANES - 1, PLANES, count, laws))
        damping = np.full(count, _DAMPING)
        return cls(row, batch.groups(row), begin[row], value, sums, zero, zero.copy(), damping, zero > 0)

    def refill(self, waiting: Places, begin: Floats, batch: Batch) -> None:
        """Rows that wait take the places of those that have ended; places left over go."""
        free = np.flatnonzero(self.ended)
        taken = free[: len(waiting)]
        self.batch.put(taken, batch, waiting)
        self.row[taken], self.theta[taken], self.stage[taken], self.ended[taken] = waiting, begin[waiting], 0, False
        self.anew(taken)
        if len(free) > len(taken):
            go = np.flatnonzero(~self.ended)
            self.batch, self.sums = self.batch.groups(go), self.sums[:, :, go]
            self.row, self.theta, self.value = self.row[go], self.theta[go], self.value[go]
            self.stage, self.taken, self.damping = self.stage[go], self.taken[go], self.damping[go]
            self.ended = self.ended[go]

    def anew(self, which: Places) -> None:
        """The next step of some is none: they look at their delta for the first time where they stand."""
        self.value[which], self.taken[which], self.damping[which] = np.inf, 0, _DAMPING
        self.sums[:, :, which] = 0.0


def descend(begin: Floats, batch: Batch, how: Descent) -> tuple[Floats, Floats]:
    """From theta (groups, laws, 4) to the local optimum of each group, and its objective (groups, laws).

    b of the first law of a group is that of all. Never worse than where it started.
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
    """One step of every row: tried, and taken where the objective falls."""
    deltas = how.deltas
    step, promise = _step(work, how)
    tried = _moved(work, step, how)
    value, sums = look(tried, work.batch, deltas[work.stage], planes)
    falls = value < work.value
    first, last = np.isinf(work.value), work.stage == len(deltas) - 1
    enough = np.where(last, how.gain, _EARLY_GAIN) * work.value
    small = ~first & (np.where(falls, work.value - value, promise) <= enough)
    work.theta[falls] = tried[falls]
    np.copyto(work.value, value, where=falls)
    np.copyto(work.sums, sums, where=falls[:, None])
    work.damping = np.where(falls, np.maximum(work.damping / 5, 1e-9), np.minimum(work.damping * 6, 1e9))
    work.taken += 1
    over = small | ~np.isfinite(work.value) | (work.taken > np.where(last, how.steps, _EARLY_STEPS))
    work.ended |= over & last
    onward = np.flatnonzero(over & ~last)
    work.stage[onward] += 1
    work.anew(onward)


def _moved(work: _Work, step: Floats, how: Descent) -> Floats:
    """Where a step leads: b and log first go as it says, and so do the law's values at the first and the last point.

    What amp and c must be follows from these values, so that a long step along the valley in which b trades with amp
    and c stays in it. Where that leaves the bounds of c, amp and c go straight.
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
    """The damped step of every row, (groups, laws, 4), and how far it promises the objective to fall."""
    theta, sums = work.theta, work.sums
    gradient = sums[:4, 5]
    scale = 1.0 / np.sqrt(np.maximum(np.stack([sums[i, i] for i in range(4)]), 1e-290))
    # A parameter that stands at its bound and would leave it takes no part in this step.
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
    """Symmetric systems of three, `ridge` all along the diagonal, for right sides (2, 3, ...)."""
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
