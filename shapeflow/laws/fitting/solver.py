"""Fit E = a (C + d)^-b + c to all sets at once, by variable projection over a grid of (b, d) and Levenberg-Marquardt.

A two-dimensional grid finds the basins of the four-dimensional problem (`projection.py`), and a short descent from the
best of them finds the optimum (`descent.py`). The objective is the Huber loss of the residuals in log error (paper A,
B.4; Hoffmann et al. 2022). Compute and error are scaled by the data, so the result does not depend on their units.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np

from shapeflow.ir.law import Quad
from shapeflow.laws.fitting.descent import Descent, descend
from shapeflow.laws.fitting.huber import Batch, huber_loss, residual
from shapeflow.laws.fitting.projection import Grid, Scaled, starts
from shapeflow.laws.fitting.resample import Drawn
from shapeflow.laws.logs.points import Floats, Points

B_LOW, B_HIGH = 5e-3, 4.0
"""Bounds of the exponent. The data do not determine an exponent that ends at a bound."""
STARTS = 6
POOLED_GRID, POOLED_STARTS, _TRIED = 17, 3, 3
_ROUNDS, _NARROW = 8, 1e-3
"""The number of times that the scatter of the sets is re-estimated, and its lower bound relative to the largest
scatter. The bound prevents a set without noise from dominating the fit."""
_COARSE = np.geomspace(0.02, 3.0, 10)
"""Exponents of the grid for a resample. It can be coarse, since a resample also starts from the fit to all points."""
_ROUGH, _NEAR, _FULL = 1e-3, 1e-7, 1e-11
"""A descent ends once a step lowers the objective by less than this fraction."""
_ELEMENTS = 2**21
"""Maximum number of points of resamples in memory at once."""
_ALIKE, _DISTINCT = 1.01, 0.05
"""Other optima are reported if their objective is at most 1.01 times the best, and if b (relative) or c (in units of
the lowest error) differs by more than 0.05 from the optima reported before."""

Kind = Literal["own", "pooled", "fixed"]


@attrs.frozen
class FitOptions:
    """Options of a fit."""

    offset: Literal["signed", "nonnegative"] = "signed"
    exponent: Literal["auto", "pooled", "own"] = "auto"
    """`pooled`: one exponent for all shapes. `own`: one per shape. `auto`: pooled for three or more shapes."""
    fixed: float | None = None
    """A given exponent, which is not fitted."""
    delta: float = 1e-3
    """The residual at which the Huber loss changes from quadratic to linear."""
    residual: Literal["log", "linear"] = "log"
    """`log`: log(law) - log(measured). `linear`: (law - measured) / (lowest error of the set)."""

    def kind(self, sets: int) -> Kind:
        """Return how the exponent is fitted for this number of sets."""
        if self.fixed is not None:
            return "fixed"
        return "pooled" if self.exponent == "pooled" or (self.exponent == "auto" and sets >= 3) else "own"


@attrs.frozen
class Fitted:
    """The law found for one set of points, in FLOPs and units of the error."""

    a: float
    b: float
    c: float
    d: float
    objective: float
    """Huber loss of the residuals, summed over the points."""
    rms: float
    """Root mean square of log(law) - log(measured)."""
    exponent: Kind
    optima: tuple[Quad, ...] = ()
    """Other local optima (a, b, c, d) with an objective within 1% of the best."""


def at_bound(b: float, kind: Kind) -> bool:
    """Return whether a fitted exponent is at a bound of its search range, within 2%."""
    return kind != "fixed" and not 1.02 * B_LOW < b < 0.98 * B_HIGH


def fit_laws(sets: Sequence[Points], options: FitOptions | None = None) -> tuple[Fitted, ...]:
    """Return one law for each set of points, in order. A set needs at least 4 points, at 2 or more different amounts of
    compute. The floor c is always below the lowest measured error.

    All sets are fitted in one call, since they may share an exponent. The last fits of few points are kept: an editor,
    and a command for several seeds, compile the same file many times.
    """
    options = options or FitOptions()
    if sum(len(points.compute) for points in sets) > KEPT:
        return _solved(sets, options)
    digest = hashlib.sha256()
    for points in sets:
        for values in (points.compute, points.error, points.run):
            digest.update(len(values).to_bytes(8, "little") + values.tobytes())
    return _kept(_Question(options, digest.digest(), tuple(sets)))


KEPT = 100_000
"""Most points of a fit that is kept."""


@attrs.frozen
class _Question:
    """What is fitted. Two questions are equal if their options and all their points are."""

    options: FitOptions
    digest: bytes
    sets: tuple[Points, ...] = attrs.field(eq=False)


@functools.lru_cache(maxsize=32)
def _kept(question: _Question) -> tuple[Fitted, ...]:
    return _solved(question.sets, question.options)


def _solved(sets: Sequence[Points], options: FitOptions) -> tuple[Fitted, ...]:
    scaled = [Scaled.of(points, options.offset == "signed") for points in sets]
    if not scaled:
        return ()
    kind = options.kind(len(scaled))
    together = _pooled(scaled, options) if kind == "pooled" else np.empty((0, len(scaled), 4))
    given = options.fixed if kind != "pooled" else float(together[0, 0, 1])
    begin = np.stack([_starts(one, given, STARTS, options) for one in scaled], 1)
    # With a shared exponent, search for other optima at that exponent.
    begin = np.concatenate([together, begin])
    theta, _ = _each(scaled, begin, _how(options, kind == "own"), options)
    theta, value = _each(scaled, theta, _fully(options, kind == "own"), options)
    return tuple(_fitted(one, theta[:, place], value[:, place], kind) for place, one in enumerate(scaled))


def fit_draws(
    sets: Sequence[Points], drawn: Sequence[Drawn], fitted: Sequence[Fitted], options: FitOptions | None = None
) -> Floats:
    """Return the law of every resample as (a, b, c, d), shape (sets, resamples, 4), in FLOPs and units of the error.

    `drawn`: the resamples of each set, the same number for all sets. If the sets share an exponent, resample i of all
    sets is fitted with one exponent, so keep draws with the same index together.
    """
    options = options or FitOptions()
    scaled = [Scaled.of(points, options.offset == "signed") for points in sets]
    begin = np.stack(
        [one.inward(np.array([law.a, law.b, law.c, law.d])) for one, law in zip(scaled, fitted, strict=True)]
    )
    if options.kind(len(scaled)) == "pooled":
        shares = _shares(np.array([law.objective for law in fitted]), scaled)
        drawn = [attrs.evolve(each, weight=each.weight * share) for each, share in zip(drawn, shares, strict=True)]
    count = len(drawn[0].weight)
    found = np.empty((len(scaled), count, 4))
    size = max(_ELEMENTS // sum(len(one.x) for one in scaled), 1)
    for low in range(0, count, size):
        rows = slice(low, low + size)
        found[:, rows] = _draws(scaled, [_some(each, rows) for each in drawn], begin, options)
    return np.stack([one.outward(rows) for one, rows in zip(scaled, found, strict=True)])


def _some(drawn: Drawn, rows: slice) -> Drawn:
    return Drawn(drawn.weight[rows], None if drawn.error is None else drawn.error[rows])


def _draws(scaled: Sequence[Scaled], drawn: Sequence[Drawn], begin: Floats, options: FitOptions) -> Floats:
    """Return theta of the law of every resample, shape (sets, resamples, 4).

    A descent starts from the fit to all points, or from the best cell of the grid if that has a lower objective.
    """
    kind = options.kind(len(scaled))
    errors = [
        one.e[None] if each.error is None else each.error / one.lowest for one, each in zip(scaled, drawn, strict=True)
    ]
    weights = [each.weight for each in drawn]
    batch = _batch(scaled, errors, weights, options)
    # The grid minimises squares. Reduce the weight of outliers in it by their Huber weight under the fit to all points.
    size = np.abs(residual(begin[None], batch))
    inside = np.minimum(1.0, options.delta / np.maximum(size, 1e-300))
    gridded = [
        starts(
            Grid.of(one, _COARSE if kind == "own" else begin[place, 1:2]),
            errors[place],
            weights[place] * inside[:, place, : len(one.x)] * _metric(errors[place], options),
            1,
        )
        for place, one in enumerate(scaled)
    ]
    theta = np.concatenate(gridded, 1)
    better = huber_loss(theta, batch, options.delta) < huber_loss(begin[None], batch, options.delta)
    theta = np.where(better[..., None], theta, begin)
    how = _how(options, kind != "fixed")
    if kind == "pooled":
        found = descend(theta, batch, how)[0]
    else:
        # A law with its own exponent starts so close to its optimum that larger deltas are not needed.
        how = attrs.evolve(how, stages=())
        found = descend(theta.reshape(-1, 1, 4), batch.apart(len(theta)), how)[0].reshape(theta.shape)
    return found.swapaxes(0, 1)


def _batch(scaled: Sequence[Scaled], errors: Sequence[Floats], weights: Sequence[Floats], options: FitOptions) -> Batch:
    """Return a batch in which every group contains all laws. `errors`, `weights`: one array for each law, shape (1 or
    groups, points)."""
    length = max(len(one.x) for one in scaled)

    def pad(rows: Sequence[Floats], value: float) -> Floats:
        count = max(len(row) for row in rows)
        padded = np.full((count, len(scaled), length), value)
        for place, row in enumerate(rows):
            padded[:, place, : row.shape[1]] = row
        return padded

    e = pad(errors, 1.0)
    linear = options.residual == "linear"
    low = np.array([[np.log(one.least) for one in scaled]])
    x = pad([one.x[None] for one in scaled], 0.0)
    return Batch(x, e if linear else np.log(e), np.sqrt(pad(weights, 0.0)), low, linear)


def _how(options: FitOptions, free_b: bool) -> Descent:
    return Descent(options.delta, (B_LOW, B_HIGH) if free_b else None, _NEAR)


def _fully(options: FitOptions, free_b: bool) -> Descent:
    return attrs.evolve(_how(options, free_b), gain=_FULL, steps=500, stages=())


def _starts(one: Scaled, b: float | None, count: int, options: FitOptions) -> Floats:
    """Return starting points theta of a fit to all points, shape (count, 4)."""
    error = one.e[None]
    grid = Grid.of(one, None if b is None else np.array([b]))
    return np.asarray(starts(grid, error, _metric(error, options), count)[0])


def _metric(error: Floats, options: FitOptions) -> Floats:
    """Return weights by which squared differences of errors approximate squared residuals."""
    return np.ones_like(error) if options.residual == "linear" else error**-2


def _each(scaled: Sequence[Scaled], begin: Floats, how: Descent, options: FitOptions) -> tuple[Floats, Floats]:
    """Return the optima, shape (starts, sets, 4), and their objectives, shape (starts, sets), of independent descents.
    `begin`: theta of the starts, shape (starts, sets, 4)."""
    batch = _all(scaled, options).apart(len(begin))
    theta, value = descend(begin.reshape(-1, 1, 4), batch, how)
    return theta.reshape(begin.shape), value.reshape(begin.shape[:2])


def _all(scaled: Sequence[Scaled], options: FitOptions, shares: Floats | None = None) -> Batch:
    """Return a batch of one group of all laws. Every point has weight 1, or the weight of its set in `shares`."""
    counted = np.ones(len(scaled)) if shares is None else shares
    weights = [np.full((1, len(one.e)), share) for one, share in zip(scaled, counted, strict=True)]
    return _batch(scaled, [one.e[None] for one in scaled], weights, options)


def _pooled(scaled: Sequence[Scaled], options: FitOptions) -> Floats:
    """Return theta of the laws with the shared exponent that fits all sets best, shape (1, sets, 4).

    First fit the laws at each exponent of a coarse grid. Then fit all laws together, starting from the exponents with
    the lowest objective, with equal weights of all points. Finally re-fit with weights by the scatter of each set.
    """
    grid = np.geomspace(B_LOW, B_HIGH, POOLED_GRID)
    begin = np.stack(
        [np.concatenate([_starts(one, float(b), POOLED_STARTS, options) for b in grid]) for one in scaled], 1
    )
    theta, value = _each(scaled, begin, attrs.evolve(_how(options, False), gain=_ROUGH), options)
    value = value.reshape(POOLED_GRID, POOLED_STARTS, -1)
    best = value.argmin(1)[:, None]
    theta = np.take_along_axis(theta.reshape(*value.shape, 4), best[..., None], 1)[:, 0]
    lowest = np.argsort(value.min(1).sum(1), kind="stable")[:_TRIED]
    theta, value = descend(theta[lowest], _all(scaled, options), _how(options, True))
    best = int(value.sum(1).argmin())
    theta, value = theta[best : best + 1], value[best]
    for _ in range(_ROUNDS):
        batch = _all(scaled, options, _shares(value, scaled))
        theta = descend(theta, batch, _fully(options, True))[0]
        value = huber_loss(theta, _all(scaled, options), options.delta)[0]
    return theta


def _shares(value: Floats, scaled: Sequence[Scaled]) -> Floats:
    """Return the weight of a point of each set in the fit of a shared exponent: the inverse of the scatter of the set,
    which is its objective per point.

    At convergence, the fit minimises the sum over sets of (number of points) * log(objective): the negative log
    likelihood of the exponent if each set has its own noise level. With equal weights, the sets with the largest
    scatter would determine the exponent, which predicts the second half of real curves worse
    (`benchmarks/holdout.py`).
    """
    scatter = value / [len(one.x) for one in scaled]
    least = max(_NARROW * float(scatter.max()), 1e-300)
    share = 1 / np.maximum(scatter, least)
    return np.asarray(share / share.mean())


def _fitted(one: Scaled, theta: Floats, value: Floats, kind: Kind) -> Fitted:
    """Return the best of the optima of a set, with the other distinct optima that are nearly as good."""
    order = np.argsort(value, kind="stable")
    best = theta[order[0]]
    kept: list[Floats] = [best]
    for row in theta[order[1:]][value[order[1:]] <= _ALIKE * value[order[0]]]:
        if all(_differ(row, other) for other in kept):
            kept.append(row)
    laws = [tuple(float(value) for value in one.outward(row)) for row in kept]
    missed = np.log(np.exp(best[0] - best[1] * np.log(one.x + np.exp(best[3]))) + best[2]) - np.log(one.e)
    rms = float(np.sqrt(np.mean(missed**2)))
    a, b, c, d = laws[0]
    others = tuple((a, b, c, d) for a, b, c, d in laws[1:])
    return Fitted(a, b, c, d, float(value[order[0]]), rms, kind, others)


def _differ(one: Floats, other: Floats) -> bool:
    """Return whether two theta are distinct laws, by b (relative) and c (in units of the lowest error)."""
    return bool(abs(one[1] / other[1] - 1) > _DISTINCT or abs(one[2] - other[2]) > _DISTINCT)
