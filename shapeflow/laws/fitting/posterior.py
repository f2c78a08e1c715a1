"""Posterior draws of whole curves: the law of each shape, its smooth misfit, run-to-run differences, and drift.

A curve is log E as a function of x = log C. For each shape

    log E(C) = log(a (C + d)^-b + c) + g(x) + noise

where g is a Gaussian process with a squared exponential kernel: inside the data it interpolates, beyond the data it
returns to 0 within its length scale, and its standard deviation remains. Its standard deviation and length scale are
those of the largest marginal likelihood over all shapes. The parameters (b, c, d) are drawn from a grid, and a is
linear, so no optimizer is needed. The exponents of the shapes are drawn from log b ~ N(log b0, t^2); the data choose t,
between one exponent for all shapes and one each.

Two runs of a shape differ: log C at equal error moves by a run level, an Ornstein-Uhlenbeck process with standard
deviation tau. tau is drawn from its posterior under the spread of the runs and a prior of `runs_differ`. Beyond the
data the slope of a draw is multiplied by exp(DRIFT z (x - x_last) / span): the form itself may be wrong there.

Every question about a plan is answered by counting over the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import MeasuredCurve
from shapeflow.laws.logs.points import Floats

DRAWS = 400
PRIOR_WEIGHT = 4.0
"""Degrees of freedom of the prior of the run-to-run difference."""
ALIKE = 2.3
"""Correlation length of a run's level, in log compute: about a decade."""
DRIFT, SHARED = 0.5, 0.5
"""Size of the drift of the slope beyond the data, and the part of its variance that all shapes share."""
WIDEN = 1.2
"""Factor on the misfit of the largest marginal likelihood, which is the value most likely and not the mean."""
AHEAD = float(np.log(20.0))
"""How far beyond the data curves are drawn, in log compute."""
INSIDE, BEYOND = 40, 25
"""Grid points of a curve over its data, and beyond."""

B = np.geomspace(0.06, 2.0, 26)
FLOOR = np.array([0, 0.15, 0.3, 0.42, 0.52, 0.6, 0.66, 0.72, 0.77, 0.81, 0.845, 0.875, 0.90, 0.92, 0.94, 0.955, 0.97])
FLOOR = np.append(FLOOR, 0.985)
"""c over the lowest error."""
OFFSET = np.array([-0.85, -0.6, -0.35, 0, 0.5, 1.2, 2.5, 5.0, 10.0])
"""d over the first compute."""
MISFIT = np.array([0.0005, 0.001, 0.002, 0.004, 0.008, 0.016])
LENGTH = np.array([0.5, 1.0])
TIED = np.array([0.03, 0.08, 0.2, 0.5])
"""Standard deviations of log b between shapes."""


@attrs.frozen(eq=False)
class Draws:
    """The draws of one shape's curve."""

    grid: Floats
    """(points,): log compute, ascending."""
    log_error: Floats
    """(draws, points): the mean curve of the shape's runs; never rises."""
    level: Floats
    """(draws, points): log compute by which one run differs from the mean of all possible runs."""
    runs: int
    first: float
    last: float
    """Log compute of the first and the last measurement."""

    def places(self, runs: float) -> Floats:
        """(draws, points): log compute of the curve if it is the mean of `runs` runs."""
        return np.maximum.accumulate(self.grid + self.level / np.sqrt(runs), axis=1)

    def moved(self, shift: float) -> Draws:
        """The same curves with compute in another unit: `shift` is added to log compute."""
        return attrs.evolve(self, grid=self.grid + shift, first=self.first + shift, last=self.last + shift)


@attrs.frozen(eq=False)
class Posterior:
    """The draws of all shapes; draw i of all shapes belongs together."""

    curves: Mapping[Shape, Draws]
    tau: float
    """Run-to-run standard deviation of log compute at equal error: root of the posterior mean of its square."""
    extra_runs: int
    """Runs beyond the first of each shape: what `tau` was estimated from, in addition to its prior."""
    rows: Mapping[Shape, Floats]
    """(draws, 4): a, b, c and d of each draw's law."""


def posterior(
    curves: Mapping[Shape, MeasuredCurve], runs_differ: float, *, draws: int = DRAWS, seed: int = 0
) -> Posterior:
    """Draw the curves of all shapes. `runs_differ`: prior standard deviation of the run-to-run difference in log
    compute; 0: runs do not differ. Deterministic in `seed`."""
    rng = np.random.Generator(np.random.Philox(seed))
    ones = [_One.of(curve) for curve in curves.values()]
    misfit, length = _kernel(ones)
    fits = [_Grid.of(one, misfit, length) for one in ones]
    chosen = _exponents(fits, draws, rng)
    tau, expected = _run_to_run(list(curves.values()), runs_differ, draws, rng)
    shared = rng.standard_normal(draws)
    found, rows = {}, {}
    for shape, one, fit, b in zip(curves, ones, fits, chosen, strict=True):
        row = fit.laws(b, rng)
        grid = np.concatenate(
            [np.linspace(one.x[0], one.x[-1], INSIDE), one.x[-1] + AHEAD * np.linspace(0, 1, BEYOND)[1:]]
        )
        path = _paths(one, fit, row, grid, rng)
        z = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * rng.standard_normal(draws)
        path = np.minimum.accumulate(_drifted(path, grid, one, z), axis=1)
        level = tau[:, None] * _levels(grid, draws, rng)
        found[shape] = Draws(grid, path, level, one.runs, float(one.x[0]), float(one.x[-1]))
        rows[shape] = row
    return Posterior(found, expected, sum(curve.runs - 1 for curve in curves.values()), rows)


@attrs.frozen(eq=False)
class _One:
    """A measured curve in logs."""

    x: Floats
    y: Floats
    noise: float
    runs: int

    @classmethod
    def of(cls, curve: MeasuredCurve) -> _One:
        return cls(np.log(np.array(curve.compute)), np.log(np.array(curve.error)), curve.noise, curve.runs)

    def kernel(self, at: Floats, to: Floats, misfit: float, length: float) -> Floats:
        return np.asarray(misfit**2 * np.exp(-0.5 * ((at[:, None] - to) / length) ** 2))

    def covariance(self, misfit: float, length: float) -> Floats:
        """(points, points), of the measured points."""
        return self.kernel(self.x, self.x, misfit, length) + (self.noise**2 + 1e-8) * np.eye(len(self.x))


@attrs.frozen(eq=False)
class _Grid:
    """The posterior of one shape's law over the grid of (b, c, d), under a given misfit."""

    one: _One
    misfit: float
    length: float
    b: Floats
    c: Floats
    d: Floats
    """(cells,): in units of the error, and in FLOPs."""
    scale: Floats
    """(cells,): the reducible error at the last point that fits best; a in units of the last point."""
    width: Floats
    """(cells,): standard deviation of `scale`."""
    chance: Floats
    """(bs, cells of a b): log posterior."""

    @classmethod
    def of(cls, one: _One, misfit: float, length: float, coarse: bool = False) -> _Grid:
        axes = (B[::3], FLOOR[::3], OFFSET[::2]) if coarse else (B, FLOOR, OFFSET)
        error, first = np.exp(one.y), np.exp(one.x[0])
        b, floor, offset = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        c, d = floor * error.min(), offset * first
        lower = np.linalg.cholesky(one.covariance(misfit, length))
        white = np.linalg.inv(lower)
        u = (_reducible(b, d, one.x, one.x[-1]) / error) @ white.T
        v = ((error - c[:, None]) / error) @ white.T
        uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
        scale = uv / uu
        chance = -0.5 * (vv - uv**2 / uu) - np.log(np.diag(lower)).sum() - 0.5 * np.log(uu) - np.log(error.min())
        prior = -0.5 * ((np.log(b) - np.log(0.4)) / 0.6) ** 2 - 0.5 * (np.arcsinh(offset) / 1.5) ** 2
        chance = np.where(scale > 0, chance, -1e9) + prior
        return cls(one, misfit, length, b, c, d, scale, 1 / np.sqrt(uu), chance.reshape(len(axes[0]), -1))

    @property
    def likelihood(self) -> float:
        """Log marginal likelihood of the misfit."""
        return float(np.logaddexp.reduce(self.chance, axis=None) - np.log(self.chance.size))

    def laws(self, chosen: Floats, rng: np.random.Generator) -> Floats:
        """(draws, 4): a, b, c, d of each draw, given the index of its exponent."""
        inner = self.chance.shape[1]
        cells = np.empty(len(chosen), int)
        for index in np.unique(chosen):
            row = self.chance[index]
            weight = np.exp(row - row.max())
            drawn = chosen == index
            cells[drawn] = index * inner + rng.choice(inner, size=int(drawn.sum()), p=weight / weight.sum())
        scale = np.maximum(self.scale[cells] + rng.standard_normal(len(cells)) * self.width[cells], 1e-12)
        b, d = self.b[cells], self.d[cells]
        a = scale * np.exp(b * np.log(np.exp(self.one.x[-1]) + d))
        return np.stack([a, b, self.c[cells], d], 1)


def _reducible(b: Floats, d: Floats, x: Floats, last: float) -> Floats:
    """(cells, points): (C + d)^-b relative to its value at the last point; at most e^700, near the largest number."""
    moved = np.log(np.exp(x) + d[:, None]) - np.log(np.exp(last) + d)[:, None]
    return np.asarray(np.exp(np.minimum(-b[:, None] * moved, 700.0)))


def _kernel(ones: Sequence[_One]) -> tuple[float, float]:
    """The misfit and length scale of the largest marginal likelihood over all shapes; the misfit is widened."""
    table = [[sum(_Grid.of(one, f, s, coarse=True).likelihood for one in ones) for s in LENGTH] for f in MISFIT]
    best = np.unravel_index(np.argmax(table), (len(MISFIT), len(LENGTH)))
    return float(MISFIT[best[0]]) * WIDEN, float(LENGTH[best[1]])


def _exponents(fits: Sequence[_Grid], draws: int, rng: np.random.Generator) -> list[Floats]:
    """For each shape the index of each draw's exponent in `B`, under the hierarchical prior."""
    log_b = np.log(B)
    weight = np.array([np.logaddexp.reduce(fit.chance, axis=1) for fit in fits])
    weight = np.exp(weight - weight.max(1, keepdims=True))
    prior = np.exp(-0.5 * ((log_b[None, None] - log_b[None, :, None]) / TIED[:, None, None]) ** 2)
    prior /= prior.sum(2, keepdims=True)
    joint = np.log(np.einsum("tcb,sb->tcs", prior, weight) + 1e-300).sum(2)
    if len(fits) == 1:
        joint[:-1] = -1e9
    chance = np.exp(joint - joint.max()).ravel()
    tied, centre = np.unravel_index(rng.choice(chance.size, size=draws, p=chance / chance.sum()), joint.shape)
    found = []
    for own in weight:
        each = prior[tied, centre] * own
        each /= each.sum(1, keepdims=True)
        found.append((each.cumsum(1) < rng.random((draws, 1))).sum(1).clip(0, len(B) - 1))
    return found


def _run_to_run(
    curves: Sequence[MeasuredCurve], prior: float, draws: int, rng: np.random.Generator
) -> tuple[Floats, float]:
    """(draws,): the run-to-run standard deviation in log compute, and the root of its posterior mean square."""
    if prior <= 0:
        return np.zeros(draws), 0.0
    freedom = PRIOR_WEIGHT + sum(curve.runs - 1 for curve in curves)
    squares = PRIOR_WEIGHT * prior**2 + sum(curve.spread for curve in curves)
    return np.sqrt(squares / rng.chisquare(freedom, draws)), float(np.sqrt(squares / freedom))


def _paths(one: _One, fit: _Grid, rows: Floats, grid: Floats, rng: np.random.Generator) -> Floats:
    """(draws, points): log error along a grid, by each draw's law and its misfit given the measurements."""
    law, at = _log_error(rows, grid), _log_error(rows, one.x)
    cross = one.kernel(grid, one.x, fit.misfit, fit.length)
    inverse = np.linalg.inv(one.covariance(fit.misfit, fit.length))
    rest = one.kernel(grid, grid, fit.misfit, fit.length) - cross @ inverse @ cross.T
    values, vectors = np.linalg.eigh(rest)
    drawn = rng.standard_normal((len(rows), len(grid))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    return np.asarray(law + (one.y - at) @ (cross @ inverse).T + drawn)


def _log_error(rows: Floats, x: Floats) -> Floats:
    a, b, c, d = (column[:, None] for column in rows.T)
    return np.asarray(np.log(a * np.exp(-b * np.log(np.maximum(np.exp(x) + d, 1e-300))) + c))


def _drifted(path: Floats, grid: Floats, one: _One, z: Floats) -> Floats:
    """Curves whose slope drifts beyond the data."""
    last, span = one.x[-1], max(float(one.x[-1] - one.x[0]), 1.0)
    steps = np.diff(path, axis=1, prepend=path[:, :1])
    factor = np.exp(DRIFT * z[:, None] * np.maximum(grid - last, 0.0) / span)
    return np.asarray(path[:, :1] + np.cumsum(steps * factor, axis=1))


def _levels(grid: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """(draws, points): a stationary Ornstein-Uhlenbeck process of variance 1 along a grid."""
    drawn = rng.standard_normal((draws, len(grid)))
    for at in range(1, len(grid)):
        kept = np.exp(-(grid[at] - grid[at - 1]) / ALIKE)
        drawn[:, at] = kept * drawn[:, at - 1] + np.sqrt(1 - kept**2) * drawn[:, at]
    return drawn
