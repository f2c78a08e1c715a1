"""Resample the points of a law: the fitted curve with new noise at every point.

A fit of four parameters absorbs every part of the noise that looks like a law, above all the slowly varying part. The
residuals are therefore smaller and less autocorrelated than the noise, and intervals from a block bootstrap of the
residuals are too narrow, the more so the stronger the autocorrelation is. This module models the noise instead: each
run has a level, which is the same for all its points, plus first-order autoregressive noise along the run.

The autocorrelation (`rho`), the size of the noise and the spread of the levels are uncertain, so each resample draws
them from their distribution given the residuals (restricted likelihood, Patterson and Thompson 1971). The innovations
are drawn from the residuals (sieve bootstrap, Buehlmann 1997), so outliers are preserved. Every resample contains all
points.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.law import Resampling
from shapeflow.ir.quantiles import quantiles
from shapeflow.laws.logs.points import Floats, Points

RHO = np.linspace(-0.6, 0.96, 79)
"""Grid of autocorrelations, with a uniform prior."""
SPREAD = np.concatenate([[0.0], np.geomspace(0.05, 20.0, 13)])
"""Grid of standard deviations of the levels of runs, relative to that of the noise. The prior probability of 0 (all
runs have the same level) is 1/2; the other values are equally likely."""
_FARTHEST = 1.0
"""Maximum absolute noise in log error. With few points, a resample may draw noise of any size."""


@attrs.frozen(eq=False)
class Drawn:
    """Resamples of one set of points."""

    weight: Floats
    """Weight of each point, shape (resamples, points). `resample` sets all weights to 1. A bootstrap of points, such as
    the one that `benchmarks/coverage.py` compares with, sets the number of times that each point was drawn."""
    error: Floats | None = None
    """Errors that replace the measured ones, shape (resamples, points). None: the measured errors are used."""


@attrs.frozen(eq=False)
class Noise:
    """The noise model estimated from residuals, on a grid of cells (rho, spread)."""

    chance: Floats
    """Posterior probability of each cell, shape (rhos, spreads). The sum is 1."""
    squares: Floats
    """Residual sum of squares given the cell, shape (rhos, spreads): the variance of the noise times `freedom`."""
    freedom: int
    """Degrees of freedom: the number of points minus the number of directions that the law absorbs."""
    innovations: Floats
    """The innovations in the most likely cell, scaled to mean 0 and variance 1."""
    spreads: Floats
    """The values of spread of the grid; only 0 if there is one run."""

    @property
    def rho(self) -> float:
        """The posterior mean of the autocorrelation."""
        return float(RHO @ self.chance.sum(1))


class Numbers(Protocol):
    """The four parameters of a law."""

    @property
    def a(self) -> float: ...
    @property
    def b(self) -> float: ...
    @property
    def c(self) -> float: ...
    @property
    def d(self) -> float: ...


def resample(points: Points, law: Numbers, count: int, seed: int, *, held: bool = False) -> tuple[Drawn, Resampling]:
    """Return `count` resamples of a set of points about the law that was fitted to them, and how they were drawn. The
    same seed gives the same resamples.

    `held`: the exponent was given, or is shared with other sets. The fit then does not absorb noise that looks like a
    change of the exponent. If the shared exponent does not suit the set, the residuals are autocorrelated.

    With one run, the difference between runs is unknown, and the resamples are valid for this run only. With several
    runs, each resample draws a level for each run. A bootstrap of R out of R whole runs is not used: it would reduce
    the variance of their mean by the factor (R - 1)/R (Rao and Wu 1988 draw R - 1 instead), and its tails would be too
    short. For example, the mean of three resampled runs always lies within the range of the three, which contains the
    mean of all possible runs only with probability 3/4.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    order = np.lexsort((points.compute, points.run))
    compute, run = points.compute[order], points.run[order]
    curve = law.a * (compute + law.d) ** -law.b + law.c
    noise = noise_of(np.log(points.error[order] / curve), run, directions(compute, law, held))
    errors = np.empty((count, len(order)))
    errors[:, order] = curve * np.exp(np.clip(lay(noise, run, count, rng), -_FARTHEST, _FARTHEST))
    rho = max(noise.rho, 0.0)
    # For large n, the mean of n autocorrelated points is as precise as that of n / alike independent points.
    alike = min(round((1 + rho) / (1 - rho)), len(order))
    how = Resampling(by="runs" if len(noise.spreads) > 1 else "noise", alike=alike, count=count)
    return Drawn(np.ones_like(errors), errors), how


def directions(compute: Floats, law: Numbers, held: bool = False) -> Floats:
    """Return an orthonormal basis of the changes of log error that a fit of the law can absorb: shape (points, at most
    4). `held`: the exponent is fixed."""
    moved = compute + law.d
    part = law.a * moved**-law.b
    share = part / (part + law.c)
    columns = np.stack([share, 1 - share, share * compute.min() / moved, share * np.log(moved / moved[-1])], 1)
    columns = columns[:, :3] if held else columns
    size = np.linalg.norm(columns, axis=0)
    basis, strength, _ = np.linalg.svd(columns[:, size > 0] / size[size > 0], full_matrices=False)
    return np.asarray(basis[:, strength > 1e-9 * strength[0]][:, : len(compute) - 1])


def noise_of(residual: Floats, run: np.ndarray, basis: Floats) -> Noise:
    """Return the noise model of residuals, which are in order of run and compute.

    `basis`: the directions that the fit absorbs. Their part of the residuals is removed first, since it depends on the
    loss of the fit (the Huber loss leaves exact zeros). The fit does not change the part orthogonal to `basis`.
    """
    residual = residual - basis @ (basis.T @ residual)
    first = np.concatenate([[True], run[1:] != run[:-1]])
    begins, member = np.flatnonzero(first), np.cumsum(first) - 1
    spreads = SPREAD if len(begins) > 1 else SPREAD[:1]
    white, determinant = _whitened(np.concatenate([basis, residual[:, None]], 1), first)
    freedom = len(residual) - basis.shape[1]
    # A level of each run is a column that is 1 in the rows of the run. No row is part of two runs, so that one array
    # has all these columns, however many runs there are.
    levels = _whitened(np.ones((len(residual), 1)), first)[0][:, :, 0]
    lengths = np.add.reduceat(levels**2, begins, axis=1)
    along = np.add.reduceat(levels[:, :, None] * white, begins, axis=1)
    chance, squares = np.empty((len(RHO), len(spreads))), np.empty((len(RHO), len(spreads)))
    rest = np.empty((len(spreads), len(RHO), len(residual)))
    for at, spread in enumerate(spreads):
        grown = 1 + spread**2 * lengths
        shrunk = (1 - grown**-0.5) / lengths
        whole = white - (levels * shrunk[:, member])[:, :, None] * along[:, member]
        # The residual is the last column: its part orthogonal to the basis is the noise. The other columns give the
        # determinant of the restricted likelihood.
        q, r = np.linalg.qr(whole)
        rest[at] = q[:, :, -1] * r[:, -1, -1, None]
        squares[:, at] = np.maximum(r[:, -1, -1] ** 2, 1e-300)
        inner = np.log(np.abs(np.einsum("gii->gi", r[:, :-1, :-1]))).sum(1)
        chance[:, at] = -0.5 * determinant - 0.5 * np.log(grown).sum(1) - inner - 0.5 * freedom * np.log(squares[:, at])
    chance[:, 0] += np.log(max(len(spreads) - 1, 1))
    chance = np.exp(chance - chance.max())
    best = np.unravel_index(chance.argmax(), chance.shape)
    innovations = rest[best[1], best[0]] - rest[best[1], best[0]].mean()
    size = float(np.sqrt(np.mean(innovations**2)))
    return Noise(chance / chance.sum(), squares, freedom, innovations / size if size > 0 else innovations, spreads)


def _whitened(columns: Floats, first: np.ndarray) -> tuple[Floats, Floats]:
    """Return the columns whitened along each run for every autocorrelation of `RHO`, shape (rhos, points, columns), and
    the log determinant of each correlation matrix, shape (rhos,)."""
    rho = np.where(first, 0.0, RHO[:, None])[:, :, None]
    before = np.concatenate([np.zeros((1, columns.shape[1])), columns[:-1]])
    return (columns - rho * before) / np.sqrt(1 - rho**2), np.log1p(-(RHO**2)) * np.sum(~first)


def lay(noise: Noise, run: np.ndarray, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` draws of noise for points in order of run and compute, shape (count, points)."""
    cells = rng.choice(noise.chance.size, count, p=noise.chance.ravel())
    rho, spread = RHO[cells // len(noise.spreads)], noise.spreads[cells % len(noise.spreads)]
    # Draw the variance too, since it is estimated: normal levels then become Student's t with `freedom` degrees.
    sigma = np.sqrt(noise.squares.ravel()[cells] / rng.chisquare(noise.freedom, count))
    drawn = rng.choice(noise.innovations, (count, len(run)))
    laid = drawn.copy()
    # The points of all runs at one place along their run are computed together.
    place = _places(run)
    for at in np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place)))[1:-1]:
        laid[:, at] = rho[:, None] * laid[:, at - 1] + np.sqrt(1 - rho**2)[:, None] * drawn[:, at]
    names, which = np.unique(run, return_inverse=True)
    levels = rng.normal(size=(count, len(names)))[:, which]
    return np.asarray(sigma[:, None] * (laid + spread[:, None] * levels))


def _places(run: np.ndarray) -> NDArray[np.intp]:
    """Return the place of each point along its run: 0, 1, ... `run`: in order."""
    first = np.concatenate([[True], run[1:] != run[:-1]])
    return np.asarray(np.arange(len(run)) - np.flatnonzero(first)[np.cumsum(first) - 1])


def autocorrelation(points: Points, residual: Floats) -> float:
    """Return the lag-1 autocorrelation of residuals along each run, pooled over the runs."""
    order = np.argsort(points.run, kind="stable")
    own, run = residual[order], points.run[order]
    products = float(np.sum(own[1:] * own[:-1], where=run[1:] == run[:-1]))
    squares = float(own @ own)
    return products / squares if squares > 0 else 0.0


def intervals(draws: Floats) -> dict[str, tuple[float, float]]:
    """Return the interval between the 5% and 95% quantiles of the draws for `a`, `b`, `c` and `d`, to six digits."""
    low, high = quantiles(draws, [0.05, 0.95], axis=0)
    return {name: (float(f"{x:.6g}"), float(f"{y:.6g}")) for name, x, y in zip("abcd", low, high, strict=True)}
