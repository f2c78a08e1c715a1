"""isoFLOP slices: the loss over size at one compute, and the parabola whose minimum is the best size there (Hoffmann et
al. 2022, arXiv 2203.15556, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from shapeflow.ir.joint import JointLaw
from shapeflow.ir.law import Pair
from shapeflow.laws.logs.points import Floats

ALIKE = 0.12
"""Points whose log compute differs by at most this belong to one slice."""
FEWEST = 4
"""Fewest sizes of a slice: a parabola passes through any three."""
WIDE = float(np.log(12.0))
"""Sizes farther than this from that of the lowest loss, in log size, are left out: a parabola describes the loss near
its minimum."""
CURVES = 7
"""Number of slices through curves."""
DRAWS = 400


@attrs.frozen(kw_only=True, eq=False)
class Slice:
    """The loss over size at one compute."""

    compute: float
    size: Floats
    error: Floats
    best: float | None
    """The size of the minimum; None if the parabola has none between the smallest and the largest size."""
    best_range: Pair | None
    lowest: float | None
    """The loss of the parabola there."""
    why: str
    """Why there is no best size; empty if there is one."""
    spread: float = 0.0
    """Standard deviation of the log of the best size."""


@attrs.frozen(kw_only=True)
class Growth:
    """The power of compute with which the minima of the slices grow, with its 90% interval."""

    exponent: float
    interval: Pair
    slices: int


def slices_of(law: JointLaw) -> tuple[Slice, ...]:
    """Return the slices of `FEWEST` sizes or more through the points of a law, in order of compute."""
    return tuple(slice_of(*cut) for cut in _cuts(law))


def growth_of(slices: tuple[Slice, ...]) -> Growth | None:
    """Return the power law through the minima, weighted by their precision. None for fewer than three."""
    kept = [one for one in slices if one.best is not None]
    if len(kept) < 3:
        return None
    x, y = np.log([one.compute for one in kept]), np.log([one.best or 1.0 for one in kept])
    spread = np.array([max(one.spread, 1e-3) for one in kept])
    columns = np.stack([np.ones_like(x), x - x.mean()], 1) / spread[:, None]
    covariance = np.linalg.inv(columns.T @ columns)
    found = covariance @ columns.T @ (y / spread)
    # If the minima scatter by more than their own errors say, the interval is wider.
    rng, freedom = np.random.Generator(np.random.Philox(1)), len(kept) - 2
    squares = max(float(((y / spread - columns @ found) ** 2).sum()), freedom)
    drawn = found[1] + rng.normal(size=DRAWS) * np.sqrt(covariance[1, 1] * squares / rng.chisquare(freedom, DRAWS))
    low, high = np.quantile(drawn, [0.05, 0.95])
    return Growth(exponent=float(found[1]), interval=(float(low), float(high)), slices=len(kept))


def _cuts(law: JointLaw) -> Iterator[tuple[float, Floats, Floats]]:
    """Yield compute, sizes and losses of each slice. Runs that are curves are cut between their points."""
    size, tokens, error, run = law.measured.T
    compute = law.per_token.factor * size**law.per_token.power * tokens
    curves = [np.flatnonzero(run == one) for one in np.unique(run)]
    if all(len(curve) < 3 for curve in curves):
        yield from _clusters(compute, size, error)
        return
    ends = np.array([(compute[curve].min(), compute[curve].max()) for curve in curves])
    for budget in np.geomspace(ends[:, 0].min(), ends[:, 1].max(), CURVES + 2)[1:-1]:
        at = [curve for curve, (low, high) in zip(curves, ends, strict=True) if low <= budget <= high]
        if len({size[curve[0]] for curve in at}) < FEWEST:
            continue
        losses = [_interpolated(np.log(compute[curve]), error[curve], float(np.log(budget))) for curve in at]
        yield float(budget), np.array([size[curve[0]] for curve in at]), np.array(losses)


def _interpolated(x: Floats, y: Floats, at: float) -> float:
    order = np.argsort(x)
    return float(np.interp(at, x[order], y[order]))


def _clusters(compute: Floats, size: Floats, error: Floats) -> Iterator[tuple[float, Floats, Floats]]:
    """Yield groups of points of alike compute, each between two gaps."""
    order = np.argsort(compute)
    logs = np.log(compute[order])
    for group in np.split(order, np.flatnonzero(np.diff(logs) > ALIKE / 2) + 1):
        inner = np.log(compute[group])
        if inner.max() - inner.min() <= 2 * ALIKE and len(set(size[group].tolist())) >= FEWEST:
            yield float(np.exp(inner.mean())), size[group], error[group]


def slice_of(compute: float, size: Floats, error: Floats) -> Slice:
    order = np.argsort(size)
    size, error = size[order], error[order]
    near = np.abs(np.log(size / size[error.argmin()])) <= WIDE
    n = np.log(size[near])
    middle = float(n.mean())
    columns = np.stack([np.ones_like(n), n - middle, (n - middle) ** 2], 1)

    def without(why: str) -> Slice:
        return Slice(compute=compute, size=size, error=error, best=None, best_range=None, lowest=None, why=why)

    if len(np.unique(n)) < FEWEST:
        return without(f"it has {len(np.unique(n))} sizes near its lowest loss, and a parabola needs {FEWEST}")
    found, *_ = np.linalg.lstsq(columns, error[near], rcond=None)
    if found[2] <= 0:
        return without("the loss does not rise on both sides")
    best = middle - found[1] / (2 * found[2])
    if not n.min() < best < n.max():
        side = "smaller" if best <= n.min() else "larger"
        return without(f"the loss still falls towards {side} sizes")
    drawn = _minima(columns, error[near], found) + middle
    low, high = np.quantile(drawn, [0.05, 0.95], method="nearest")
    if not (np.isfinite(low) and np.isfinite(high)):
        return without("its noise hides the minimum")
    return Slice(
        compute=compute,
        size=size,
        error=error,
        best=float(np.exp(best)),
        best_range=(float(np.exp(low)), float(np.exp(high))),
        lowest=float(found[0] - found[1] ** 2 / (4 * found[2])),
        why="",
        spread=float((high - low) / 3.29),
    )


def _minima(columns: Floats, error: Floats, found: Floats) -> Floats:
    """Return draws of the place of the minimum; infinite for a parabola without one."""
    rng = np.random.Generator(np.random.Philox(0))
    freedom = len(error) - 3
    squares = float(((error - columns @ found) ** 2).sum())
    root = np.linalg.cholesky(np.linalg.inv(columns.T @ columns))
    sigma = np.sqrt(squares / rng.chisquare(freedom, DRAWS))
    drawn = found + sigma[:, None] * (rng.normal(size=(DRAWS, 3)) @ root.T)
    with np.errstate(all="ignore"):
        return np.where(drawn[:, 2] > 0, -drawn[:, 1] / (2 * drawn[:, 2]), np.inf * np.sign(-drawn[:, 1]))
