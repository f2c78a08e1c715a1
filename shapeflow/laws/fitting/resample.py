"""Resamples of the points of a law: its curve, with noise laid anew on every point.

A fit of four numbers takes up whatever of the noise looks like a law, above all the slow part: residuals are smaller
than the noise was, and look less alike. Intervals from blocks of them are therefore too narrow, the more so the more
alike neighbours are. So the noise is modelled as far as that needs: a level for each run, the same for all its points,
and behind it a first-order autoregression along the run. How alike (`rho`), how strong, and how far apart the runs
are is drawn for each resample from what the residuals say of it (restricted likelihood: Patterson and Thompson 1971),
since it is itself only roughly known; what goes along with it, the innovations, is drawn from the residuals (a sieve
bootstrap, Buehlmann 1997), so that outliers stay outliers. No point is ever left out.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from shapeflow.ir.law import Resampling
from shapeflow.laws.logs.points import Floats, Points

RHO = np.linspace(-0.6, 0.96, 79)
"""The autocorrelations that are considered, all equally likely beforehand."""
SPREAD = np.concatenate([[0.0], np.geomspace(0.05, 20.0, 13)])
"""Standard deviations of the runs' levels that are considered, over that of the noise. Beforehand it is as
likely as not that they are no farther apart than the noise makes them; the others are equally likely."""
_FARTHEST = 1.0
"""Noise is cut off here, in log error: with few points a resample may draw noise of any strength."""


@attrs.frozen(eq=False)
class Drawn:
    """Resamples of one set of points."""

    weight: Floats
    """(resamples, points): how much each point counts. Here all count alike; a bootstrap of points, as the one that
    `benchmarks/coverage.py` compares with, counts how often each was drawn."""
    error: Floats | None = None
    """(resamples, points): errors in place of those measured; None: they stay."""


@attrs.frozen(eq=False)
class Noise:
    """What residuals say of the noise behind them: a table of cells (rho, spread)."""

    chance: Floats
    """(rhos, spreads): how likely each cell is; sums to 1."""
    squares: Floats
    """(rhos, spreads): the noise's variance, times `freedom`, if the cell is true."""
    freedom: int
    """Points, less the directions that the law takes up."""
    innovations: Floats
    """In the likeliest cell, of mean 0 and variance 1."""
    spreads: Floats

    @property
    def rho(self) -> float:
        """The autocorrelation expected."""
        return float(RHO @ self.chance.sum(1))


class Numbers(Protocol):
    """The four numbers of a law."""

    @property
    def a(self) -> float: ...
    @property
    def b(self) -> float: ...
    @property
    def c(self) -> float: ...
    @property
    def d(self) -> float: ...


def resample(points: Points, law: Numbers, count: int, seed: int, *, held: bool = False) -> tuple[Drawn, Resampling]:
    """`count` resamples of a set of points about the law that was fitted to them; the same seed gives the same ones.

    `held`: the exponent was given, or shared with other sets. Then the fit did not take up what looks like another
    exponent, and where the shared one does not suit the set, neighbouring residuals show it.

    With one run there is no telling how far another would lie from it: the resamples are those of this run only. With
    more, each resample draws a level for each run. Drawing R of R whole runs would make the variance of their mean too
    small by (R - 1)/R (Rao and Wu 1988 draw R - 1 instead), and its tails too short: three runs drawn anew never leave
    the range of the three, which holds the mean of all possible runs with a chance of 3/4 only.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    order = np.lexsort((points.compute, points.run))
    compute, run = points.compute[order], points.run[order]
    curve = law.a * (compute + law.d) ** -law.b + law.c
    noise = noise_of(np.log(points.error[order] / curve), run, directions(compute, law, held))
    errors = np.empty((count, len(order)))
    errors[:, order] = curve * np.exp(np.clip(_lay(noise, run, count, rng), -_FARTHEST, _FARTHEST))
    rho = max(noise.rho, 0.0)
    # n such points tell of their mean what n over this many independent ones do (n large).
    alike = min(round((1 + rho) / (1 - rho)), len(order))
    how = Resampling(by="runs" if len(noise.spreads) > 1 else "noise", alike=alike, count=count)
    return Drawn(np.ones_like(errors), errors), how


def directions(compute: Floats, law: Numbers, held: bool = False) -> Floats:
    """An orthonormal basis of the changes of log error that a law can take up, with its exponent or without: (points,
    at most 4)."""
    moved = compute + law.d
    part = law.a * moved**-law.b
    share = part / (part + law.c)
    columns = np.stack([share, 1 - share, share * compute.min() / moved, share * np.log(moved / moved[-1])], 1)
    columns = columns[:, :3] if held else columns
    size = np.linalg.norm(columns, axis=0)
    basis, strength, _ = np.linalg.svd(columns[:, size > 0] / size[size > 0], full_matrices=False)
    return np.asarray(basis[:, strength > 1e-9 * strength[0]][:, : len(compute) - 1])


def noise_of(residual: Floats, run: np.ndarray, basis: Floats) -> Noise:
    """The noise behind residuals, in order of run and compute, from which a fit has taken what lies in `basis`.

    What a fit leaves is its own affair (Huber's loss leaves zeros), but outside of `basis` it has changed nothing.
    """
    residual = residual - basis @ (basis.T @ residual)
    first = np.concatenate([[True], run[1:] != run[:-1]])
    member = (run[:, None] == np.unique(run)).astype(float)
    spreads = SPREAD if member.shape[1] > 1 else SPREAD[:1]
    white, determinant = _whitened(np.concatenate([basis, residual[:, None], member], 1), first)
    taken = basis.shape[1]
    freedom = len(residual) - taken
    levels = white[:, :, taken + 1 :]
    lengths = np.einsum("gnr,gnr->gr", levels, levels)
    along = np.einsum("gnr,gnk->grk", levels, white[:, :, : taken + 1])
    chance, squares = np.empty((len(RHO), len(spreads))), np.empty((len(RHO), len(spreads)))
    rest = np.empty((len(spreads), len(RHO), len(residual)))
    for at, spread in enumerate(spreads):
        grown = 1 + spread**2 * lengths
        shrunk = (1 - grown**-0.5) / lengths
        whole = white[:, :, : taken + 1] - np.einsum("gnr,gr,grk->gnk", levels, shrunk, along)
        # The residual comes last: its own direction is what the law leaves of it, the others hold the determinant.
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
    """Columns freed of each autocorrelation of `RHO` along each run, (rhos, points, columns), and the log determinant
    of that correlation's matrix."""
    rho = np.where(first, 0.0, RHO[:, None])[:, :, None]
    before = np.concatenate([np.zeros((1, columns.shape[1])), columns[:-1]])
    return (columns - rho * before) / np.sqrt(1 - rho**2), np.log1p(-(RHO**2)) * np.sum(~first)


def _lay(noise: Noise, run: np.ndarray, count: int, rng: np.random.Generator) -> Floats:
    """`count` draws of noise for points in order of run and compute."""
    cells = rng.choice(noise.chance.size, count, p=noise.chance.ravel())
    rho, spread = RHO[cells // len(noise.spreads)], noise.spreads[cells % len(noise.spreads)]
    # Student's t in place of the normal distribution: the strength itself was estimated from `freedom` numbers.
    sigma = np.sqrt(noise.squares.ravel()[cells] / rng.chisquare(noise.freedom, count))
    drawn = rng.choice(noise.innovations, (count, len(run)))
    laid = drawn.copy()
    for at in range(1, len(run)):
        if run[at] == run[at - 1]:
            laid[:, at] = rho * laid[:, at - 1] + np.sqrt(1 - rho**2) * drawn[:, at]
    names, which = np.unique(run, return_inverse=True)
    levels = rng.normal(size=(count, len(names)))[:, which]
    return np.asarray(sigma[:, None] * (laid + spread[:, None] * levels))


def autocorrelation(points: Points, residual: Floats) -> float:
    """Lag-1 autocorrelation of residuals along each run, pooled over the runs."""
    products, squares = 0.0, 0.0
    for run in np.unique(points.run):
        own = residual[points.run == run]
        products, squares = products + float(own[1:] @ own[:-1]), squares + float(own @ own)
    return products / squares if squares > 0 else 0.0


def intervals(draws: Floats) -> dict[str, tuple[float, float]]:
    """`a`, `b`, `c`, `d` -> the interval that holds 90 % of the draws, to six digits."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return {name: (float(f"{x:.6g}"), float(f"{y:.6g}")) for name, x, y in zip("abcd", low, high, strict=True)}
