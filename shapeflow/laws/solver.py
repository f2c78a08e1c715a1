"""Fitting E = a (C + d)^-b + c: variable projection over a grid of (b, d), then Levenberg-Marquardt, all laws at once.

A grid of two dimensions finds the basins of a problem of four (`projection.py`), and a short descent from the best of
them ends in the optimum (`descent.py`). The objective is Huber's loss of the residuals in log error (paper A, B.4;
Hoffmann et al. 2022). Compute and error enter relative to the data's own scale, so the answer does not depend on their
units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np

from shapeflow.laws.curve import Quad
from shapeflow.laws.descent import Batch, Box, descend
from shapeflow.laws.points import Floats, Points
from shapeflow.laws.projection import Scaled, starts
from shapeflow.laws.resample import Drawn

B_LOW, B_HIGH = 5e-3, 4.0
"""The exponents that are considered; one that ends on them has not been identified by its data."""
STARTS = 6
POOLED_GRID, POOLED_STARTS = 17, 3
_CHUNK = 256
"""Laws that are descended at once: their points fit into a cache."""
_ALIKE, _DISTINCT = 1.01, 0.05
"""Other optima are told up to this part of the best objective, and where b or c is this far off those told."""

Kind = Literal["own", "pooled", "fixed"]


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

    def kind(self, sets: int) -> Kind:
        """What is done with the exponent of so many sets."""
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
    """Huber's loss of the residuals, summed."""
    rms: float
    """Root mean square of log(law) - log(measured)."""
    exponent: Kind
    optima: tuple[Quad, ...] = ()
    """Other (a, b, c, d) that do as well as this one within 1 % of the objective."""

    @property
    def at_bound(self) -> bool:
        """Has the exponent run to the end of what is considered?"""
        return self.exponent != "fixed" and not 1.02 * B_LOW < self.b < 0.98 * B_HIGH


def fit_laws(sets: Sequence[Points], options: FitOptions | None = None) -> tuple[Fitted, ...]:
    """One law for each set of points, in order; sets need 4 points at 2 computes or more. The floor c always lies
    below the lowest error seen.

    Takes all sets at once, since they may share an exponent.
    """
    options = options or FitOptions()
    scaled = [Scaled.of(points, options.offset == "signed") for points in sets]
    if not scaled:
        return ()
    kind = options.kind(len(scaled))
    together = _pooled(scaled, options) if kind == "pooled" else np.empty((len(scaled), 0, 4))
    given = options.fixed if kind != "pooled" else float(together[0, 0, 1])
    begin = np.stack([starts(one, None if given is None else np.array([given]), STARTS) for one in scaled])
    # Where the exponent is shared, what else a law could be is asked at that exponent.
    begin = np.concatenate([together, begin], 1)
    theta, objective = _each(scaled, begin, options, free_b=kind == "own")
    return tuple(_fitted(*each, kind) for each in zip(scaled, theta, objective, strict=True))


def fit_draws(
    sets: Sequence[Points], drawn: Sequence[Drawn], fitted: Sequence[Fitted], options: FitOptions | None = None
) -> Floats:
    """The law of every resample: rows (a, b, c, d) of shape (sets, resamples, 4), in FLOPs and units of the error.

    `drawn` has equally many resamples of each set; a shared exponent is shared within a resample, so the rows of one
    resample belong together.
    """
    options = options or FitOptions()
    scaled = [Scaled.of(points, options.offset == "signed") for points in sets]
    begin = [one.inward(np.array([law.a, law.b, law.c, law.d])) for one, law in zip(scaled, fitted, strict=True)]
    if options.kind(len(scaled)) == "pooled":
        return _draws(scaled, drawn, np.stack(begin), options, free_b=True)
    free = options.fixed is None
    own = zip(scaled, drawn, begin, strict=True)
    return np.concatenate([_draws([one], [d], theta[None], options, free) for one, d, theta in own])


def _draws(
    scaled: Sequence[Scaled], drawn: Sequence[Drawn], begin: Floats, options: FitOptions, free_b: bool
) -> Floats:
    """Resamples of laws that share an exponent, from where the fit to all points ended."""
    count = len(drawn[0].weight)
    box = _box(scaled, free_b)
    errors = [
        one.e[None] if each.error is None else each.error / one.lowest for one, each in zip(scaled, drawn, strict=True)
    ]
    found = np.empty((len(scaled), count, 4))
    size = max(_CHUNK // len(scaled), 1)
    for low in range(0, count, size):
        rows = slice(low, low + size)
        batch = _batch(
            scaled, [e if len(e) == 1 else e[rows] for e in errors], [d.weight[rows] for d in drawn], options
        )
        theta, _ = descend(np.tile(begin, (len(batch.weight), 1, 1)), batch, options.delta, box)
        found[:, rows] = theta.swapaxes(0, 1)
    return np.stack([one.outward(rows) for one, rows in zip(scaled, found, strict=True)])


def _batch(scaled: Sequence[Scaled], errors: Sequence[Floats], weights: Sequence[Floats], options: FitOptions) -> Batch:
    """Laws with their errors and weights, each (1 or groups, points), side by side in every group."""
    length = max(len(one.x) for one in scaled)

    def pad(rows: Sequence[Floats], value: float) -> Floats:
        count = max(len(row) for row in rows)
        padded = np.full((count, len(scaled), length), value)
        for place, row in enumerate(rows):
            padded[:, place, : row.shape[1]] = row
        return padded

    e = pad(errors, 1.0)
    linear = options.residual == "linear"
    return Batch(pad([one.x[None] for one in scaled], 0.0), e if linear else np.log(e), pad(weights, 0.0), linear)


def _box(scaled: Sequence[Scaled], free_b: bool) -> Box:
    """c stays below 1, the lowest relative error seen."""
    low = [[-40.0, B_LOW if free_b else 0.0, 0.0, np.log(one.least)] for one in scaled]
    high = [40.0, B_HIGH if free_b else np.inf, 1 - 1e-9, np.log(1e4)]
    return Box(np.array([low]), np.array(high), free_b)


def _each(scaled: Sequence[Scaled], begin: Floats, options: FitOptions, free_b: bool) -> tuple[Floats, Floats]:
    """From starts (sets, starts, 4), each a group of its own, to their optima and objectives (sets, starts)."""
    sets, count, _ = begin.shape
    flat = _batch(scaled, [one.e[None] for one in scaled], [np.ones((1, len(one.e))) for one in scaled], options)
    x, y, weight = (np.repeat(part[0], count, 0)[:, None] for part in (flat.x, flat.y, flat.weight))
    per_row = Batch(x, y, weight, flat.linear)
    box = _box(scaled, free_b)
    box = Box(np.repeat(box.low[0], count, 0)[:, None], box.high, free_b)
    theta, objective = descend(begin.reshape(-1, 1, 4), per_row, options.delta, box)
    return theta.reshape(sets, count, 4), objective.reshape(sets, count)


def _pooled(scaled: Sequence[Scaled], options: FitOptions) -> Floats:
    """The laws with the one exponent that makes the summed objective least: theta, (sets, 1, 4).

    The exponent is held at the values of a coarse grid; from the lowest of these all laws descend together.
    """
    grid = np.geomspace(B_LOW, B_HIGH, POOLED_GRID)
    begin = np.stack([np.concatenate([starts(one, np.array([b]), POOLED_STARTS) for b in grid]) for one in scaled])
    theta, objective = (
        part.reshape(len(scaled), POOLED_GRID, POOLED_STARTS, -1) for part in _each(scaled, begin, options, False)
    )
    best = objective[..., 0].argmin(2)
    rows, columns = np.arange(len(scaled))[:, None], np.arange(POOLED_GRID)
    theta, total = theta[rows, columns, best], objective[rows, columns, best, 0].sum(0)
    lowest = np.argsort(total, kind="stable")[:3]
    batch = _batch(scaled, [one.e[None] for one in scaled], [np.ones((1, len(one.e))) for one in scaled], options)
    joint, each = descend(theta[:, lowest].swapaxes(0, 1), batch, options.delta, _box(scaled, True))
    return np.asarray(joint[int(each.sum(1).argmin())][:, None])


def _fitted(one: Scaled, theta: Floats, objective: Floats, kind: Kind) -> Fitted:
    """The best of a set's optima, and those of the rest that do nearly as well and are another law."""
    order = np.argsort(objective, kind="stable")
    best = theta[order[0]]
    told: list[Floats] = [best]
    for row in theta[order[1:]][objective[order[1:]] <= _ALIKE * objective[order[0]]]:
        if all(_differ(row, other) for other in told):
            told.append(row)
    laws = [tuple(float(value) for value in one.outward(row)) for row in told]
    residual = np.log(np.exp(best[0] - best[1] * np.log(one.x + np.exp(best[3]))) + best[2]) - np.log(one.e)
    rms = float(np.sqrt(np.mean(residual**2)))
    a, b, c, d = laws[0]
    others = tuple((a, b, c, d) for a, b, c, d in laws[1:])
    return Fitted(a, b, c, d, float(objective[order[0]]), rms, kind, others)


def _differ(one: Floats, other: Floats) -> bool:
    """Are two theta laws apart? c is told in units of the lowest error."""
    return bool(abs(one[1] / other[1] - 1) > _DISTINCT or abs(one[2] - other[2]) > _DISTINCT)
