"""Fitting E = a (C + d)^-b + c: variable projection over a grid of (b, d), then Levenberg-Marquardt, all laws at once.

Given b and d the law is linear in a and c, so a grid of two dimensions finds the basins of a problem of four, and a
short descent from the best of them ends in the optimum. The objective is Huber's loss of the residuals in log error
(paper A, B.4; Hoffmann et al. 2022). Compute and error enter relative to the data's own scale, so the answer does not
depend on their units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np

from shapeflow.laws.descent import Batch, descend
from shapeflow.laws.points import Floats, Points
from shapeflow.laws.resample import Drawn

B_LOW, B_HIGH = 5e-3, 4.0
"""The exponents that are considered; one that ends on them has not been identified by its data."""
NEGATIVE = 0.9
"""A signed offset d may go down to this part of the first compute, below 0."""
_GRID_B, _GRID_D = 20, 16
_STARTS = 6


@attrs.frozen
class FitOptions:
    """How laws are fitted."""

    offset: Literal["signed", "nonnegative"] = "signed"
    exponent: Literal["auto", "pooled", "own"] = "auto"
    """One exponent for all shapes, or one each; `auto` pools from three shapes on."""
    fixed: float | None = None
    """An exponent that is given and not fitted."""
    delta: float = 1e-3
    """Where Huber's loss turns from square to linear, in units of the residual."""
    residual: Literal["log", "linear"] = "log"
    """log(law) - log(measured), or (law - measured) over the lowest error of the set."""


@attrs.frozen
class Fitted:
    """The law found for one set of points, in FLOPs and units of the error."""

    a: float
    b: float
    c: float
    d: float
    objective: float
    """Huber's loss of the log residuals, summed."""
    rms: float
    exponent: Literal["own", "pooled", "fixed"]

    @property
    def at_bound(self) -> bool:
        """Has the exponent run to the end of what is considered?"""
        return self.exponent != "fixed" and not 1.02 * B_LOW < self.b < 0.98 * B_HIGH


@attrs.frozen(eq=False)
class _Scaled:
    """One set of points in its own units: compute over its geometric middle, error over its lowest."""

    x: Floats
    """Compute, moved so that the offset counted from here is never negative."""
    e: Floats
    reference: float
    lowest: float
    moved: float

    @classmethod
    def of(cls, points: Points, options: FitOptions) -> _Scaled:
        compute, error = points.compute, points.error
        reference = float(np.exp(0.5 * (np.log(compute.min()) + np.log(compute.max()))))
        x = compute / reference
        moved = NEGATIVE * float(x.min()) if options.offset == "signed" else 0.0
        return cls(x - moved, error / error.min(), reference, float(error.min()), moved)


def fit_laws(sets: Sequence[Points], options: FitOptions | None = None) -> tuple[Fitted, ...]:
    """One law for each set of points, in order; sets need 4 points at 2 computes or more. The floor c always lies
    below the lowest error seen.

    Takes all sets at once, since they may share an exponent; a caller that resamples for uncertainty passes more sets.
    """
    options = options or FitOptions()
    scaled = [_Scaled.of(points, options) for points in sets]
    if not scaled:
        return ()
    pooled = options.exponent == "pooled" or (options.exponent == "auto" and len(scaled) >= 3)
    if options.fixed is not None:
        kind: Literal["own", "pooled", "fixed"] = "fixed"
        theta, objective = _solve(scaled, options.delta, options.fixed)
    elif pooled:
        kind = "pooled"
        theta, objective = _solve(scaled, options.delta, _pooled_exponent(scaled, options.delta))
    else:
        kind = "own"
        theta, objective = _solve(scaled, options.delta, None)
    return tuple(
        _fitted(one, row, float(value), kind) for one, row, value in zip(scaled, theta, objective, strict=True)
    )


def fit_draws(
    sets: Sequence[Points], drawn: Sequence[Drawn], fitted: Sequence[Fitted], options: FitOptions | None = None
) -> Floats:
    """The law of every resample: rows (a, b, c, d) of shape (sets, resamples, 4), in FLOPs and units of the error.

    `drawn` has equally many resamples of each set; a shared exponent is shared within a resample, so the rows of one
    resample belong together.
    """
    options = options or FitOptions()
    found = [_draws_of(*each, options) for each in zip(sets, drawn, fitted, strict=True)]
    return np.stack(found)


def _draws_of(points: Points, drawn: Drawn, fitted: Fitted, options: FitOptions) -> Floats:
    one, count = _Scaled.of(points, options), len(drawn.weight)
    errors = np.broadcast_to(points.error, (count, len(points.error))) if drawn.error is None else drawn.error
    begin = np.array(
        [
            fitted.a * one.reference**-fitted.b / one.lowest,
            fitted.b,
            fitted.c / one.lowest,
            fitted.d / one.reference + one.moved,
        ]
    )
    batch = Batch.of([one.x] * count, list(errors / one.lowest), list(drawn.weight))
    theta, _ = descend(np.tile(begin, (count, 1)), batch, options.delta, (B_LOW, B_HIGH), fitted.exponent == "own")
    amp, b, c, d = theta.T
    return np.stack([amp * one.reference**b * one.lowest, b, c * one.lowest, (d - one.moved) * one.reference], 1)


def _fitted(one: _Scaled, theta: Floats, objective: float, kind: Literal["own", "pooled", "fixed"]) -> Fitted:
    amp, b, c, d = (float(value) for value in theta)
    residual = np.log(amp * (one.x + d) ** -b + c) - np.log(one.e)
    a = float(np.exp(np.log(amp) + b * np.log(one.reference))) * one.lowest
    rms = float(np.sqrt(np.mean(residual**2)))
    return Fitted(a, b, c * one.lowest, (d - one.moved) * one.reference, objective, rms, kind)


def _solve(scaled: Sequence[_Scaled], delta: float, b: float | None, starts: int = _STARTS) -> tuple[Floats, Floats]:
    """The best law of each set, rows (amp, b, c, d) in its own units, and the objective of each."""
    begin = np.concatenate([_starts(one, b, starts) for one in scaled])
    batch = Batch.of([one.x for one in scaled for _ in range(starts)], [one.e for one in scaled for _ in range(starts)])
    theta, objective = descend(begin, batch, delta, (B_LOW, B_HIGH), free_b=b is None)
    theta, objective = theta.reshape(len(scaled), starts, 4), objective.reshape(len(scaled), starts)
    best = objective.argmin(1)
    rows = np.arange(len(scaled))
    return theta[rows, best], objective[rows, best]


def _pooled_exponent(scaled: Sequence[_Scaled], delta: float) -> float:
    """The one exponent that makes the summed objective least: a coarse grid, then golden section in log b."""

    def total(log_b: float) -> float:
        return float(_solve(scaled, delta, float(np.exp(log_b)), starts=3)[1].sum())

    grid = np.linspace(np.log(B_LOW), np.log(B_HIGH), 17)
    values = [total(float(log_b)) for log_b in grid]
    best = int(np.argmin(values))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    golden = (np.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = total(left), total(right)
    while high - low > 1e-7:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = total(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = total(right)
    return float(np.exp((low + high) / 2))


def _starts(one: _Scaled, b: float | None, count: int) -> Floats:
    """Where to start from: the lowest local minima of the projected objective, `count` rows (amp, b, c, d)."""
    b_axis = np.geomspace(0.02, 3.0, _GRID_B) if b is None else np.array([b])
    d_axis = np.concatenate([[1e-7], np.exp(np.linspace(np.log(one.x.min()) - 2.0, 3.0, _GRID_D - 1))])
    grid_b, grid_d = (axis.ravel() for axis in np.meshgrid(b_axis, d_axis, indexing="ij"))
    amp, c, rest = _project(one, grid_b, grid_d)
    field = np.pad(rest.reshape(len(b_axis), len(d_axis)), 1, constant_values=np.inf)
    inner = field[1:-1, 1:-1]
    around = [
        field[1 + i : 1 + i + inner.shape[0], 1 + j : 1 + j + inner.shape[1]]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    lowest = np.all([inner <= other for other in around], axis=0).ravel()
    order = np.lexsort((rest, ~lowest))[:count]
    return np.stack([amp, grid_b, c, grid_d], 1)[order]


def _project(one: _Scaled, b: Floats, d: Floats) -> tuple[Floats, Floats, Floats]:
    """For each cell (b, d): the amp > 0 and c >= 0 of least squared relative error, in closed form, and that sum."""
    u = np.exp(-b[:, None] * np.log(one.x[None] + d[:, None]))
    size = u.max(1, keepdims=True)
    weight = 1 / one.e
    us = u / size * weight
    uu, u1, uy = (us * us).sum(1), us @ weight, us.sum(1)
    one_one, one_y, yy = float(weight @ weight), float(weight.sum()), float(len(one.e))
    det = uu * one_one - u1**2
    det = np.where(det > 1e-14 * uu * one_one, det, np.inf)
    amp, c = (uy * one_one - one_y * u1) / det, (one_y * uu - uy * u1) / det
    on_face = (c < 0) | (amp <= 0)
    amp, c = np.where(on_face, uy / uu, amp), np.where(on_face, 0.0, c)
    rest = yy - 2 * (amp * uy + c * one_y) + amp**2 * uu + 2 * amp * c * u1 + c**2 * one_one
    return np.maximum(amp / size[:, 0], 1e-17), c, rest
