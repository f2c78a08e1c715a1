"""Where descents start: a grid over (b, d) on which the law is linear in what remains.

Given b and d, the amp > 0 and c >= 0 of least squared relative error stand in closed form (variable projection, Golub
and Pereyra 1973), so a grid of two dimensions finds the basins of a problem of four.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats, Points

NEGATIVE = 0.9
"""A signed offset d may go down to this part of the first compute, below 0."""
GRID_B, GRID_D = 20, 16
_AT_ONCE = 64
"""Rows that are projected together: their cells fit into a cache."""
_AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


@attrs.frozen(eq=False)
class Scaled:
    """One set of points in its own units: compute over its geometric middle, error over its lowest."""

    x: Floats
    """Compute above the first."""
    e: Floats
    reference: float
    lowest: float
    first: float
    """The first compute."""
    least: float
    """The lowest moved compute of the first point: what bounds the offset."""

    @classmethod
    def of(cls, points: Points, signed: bool) -> Scaled:
        compute, error = points.compute, points.error
        reference = float(np.exp(0.5 * (np.log(compute.min()) + np.log(compute.max()))))
        first = float(compute.min()) / reference
        least = (1 - NEGATIVE) * first if signed else first
        lowest = float(error.min())
        return cls(compute / reference - first, error / lowest, reference, lowest, first, least)

    def inward(self, law: Floats) -> Floats:
        """theta (..., 4) of laws (a, b, c, d) in FLOPs and units of the error."""
        a, b, c, d = np.moveaxis(law, -1, 0)
        first = np.maximum(d / self.reference + self.first, self.least)
        log_amp = np.log(a) - b * np.log(self.reference) - np.log(self.lowest)
        return np.stack([log_amp, b, c / self.lowest, np.log(first)], -1)

    def outward(self, theta: Floats) -> Floats:
        """Laws (..., 4) as (a, b, c, d), of theta."""
        log_amp, b, c, log_first = np.moveaxis(theta, -1, 0)
        a = np.exp(log_amp + b * np.log(self.reference)) * self.lowest
        # On its bound the offset is what the bound says, without the rounding of a logarithm.
        at_bound = log_first <= np.log(self.least) + 1e-12
        moved = np.where(at_bound, self.least - self.first, np.exp(log_first) - self.first)
        return np.stack([a, b, c * self.lowest, moved * self.reference], -1)


@attrs.frozen(eq=False)
class Grid:
    """Cells (b, first) of one set, and the power law of each at its points."""

    b: Floats
    first: Floats
    shape: tuple[int, int]
    power: Floats
    """(points, cells), the highest of a cell 1."""
    squared: Floats
    log_size: Floats
    """What `power` was divided by."""

    @classmethod
    def of(cls, one: Scaled, b: Floats | None) -> Grid:
        """Over all exponents, or over those given."""
        b_axis = np.geomspace(0.02, 3.0, GRID_B) if b is None else b
        more = np.exp(np.linspace(np.log(one.least) - 2.0, 3.0, GRID_D - 1))
        first_axis = one.least + np.concatenate([[0.0], more])
        cells_b, first = np.repeat(b_axis, len(first_axis)), np.tile(first_axis, len(b_axis))
        log_power = -cells_b * np.log(one.x[:, None] + first)
        log_size = log_power.max(0)
        power = np.exp(log_power - log_size)
        return cls(cells_b, first, (len(b_axis), len(first_axis)), power, power**2, log_size)


def starts(grid: Grid, error: Floats, weight: Floats, count: int) -> Floats:
    """`count` theta for each row of weights, the lowest local minima of the projected sum first: (rows, count, 4).

    `error` is (1 or rows, points), and errors may be weighted as absolute or relative ones by `weight`.
    """
    found = np.empty((len(weight), count, 4))
    for low in range(0, len(weight), _AT_ONCE):
        rows = slice(low, low + _AT_ONCE)
        found[rows] = _best(grid, error if len(error) == 1 else error[rows], weight[rows], count)
    return found


def _best(grid: Grid, error: Floats, weight: Floats, count: int) -> Floats:
    amp, c, rest = _project(grid, error, weight)
    if count > 1:
        # Local minima come first, then the lowest of what is left.
        rest = np.where(_lowest(rest, grid.shape), rest, rest + 10 * rest.max(1, keepdims=True))
    row, order = np.arange(len(rest)), np.empty((len(rest), count), np.intp)
    for place in range(count):
        order[:, place] = rest.argmin(1)
        rest[row, order[:, place]] = np.inf
    amp, c = np.take_along_axis(amp, order, 1), np.take_along_axis(c, order, 1)
    log_amp = np.log(np.maximum(amp, 1e-17)) - grid.log_size[order]
    return np.stack([log_amp, grid.b[order], c, np.log(grid.first)[order]], -1)


def _lowest(rest: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells are no higher than the eight around them."""
    rows, columns = shape
    field = np.pad(rest.reshape(-1, rows, columns), ((0, 0), (1, 1), (1, 1)), constant_values=np.inf)
    inner = field[:, 1:-1, 1:-1]
    lowest = np.ones(inner.shape, bool)
    for i, j in _AROUND:
        lowest &= inner <= field[:, 1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
    return lowest.reshape(rest.shape)


def _project(grid: Grid, error: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """For each row of weights and each cell: amp > 0 and c >= 0 of least weighted squares, and that sum.

    Sums over points are products of matrices, in which all rows share one table of powers.
    """
    uu, u1, uy = weight @ grid.squared, weight @ grid.power, (weight * error) @ grid.power
    ones, one_y, yy = (part.sum(1)[:, None] for part in (weight, weight * error, weight * error**2))
    # What remains of u and of the error where the constant has taken its part.
    own = uu - u1 * (u1 / ones)
    along = uy - u1 * (one_y / ones)
    amp = along / np.where(own > 1e-14 * uu, own, np.inf)
    c = (one_y - amp * u1) / ones
    rest = yy - one_y**2 / ones - amp * along
    on_face = (c < 0) | (amp <= 0)
    if on_face.any():
        alone = uy / uu
        amp, c = np.where(on_face, alone, amp), np.where(on_face, 0.0, c)
        rest = np.where(on_face, yy - alone * uy, rest)
    return amp, c, rest
