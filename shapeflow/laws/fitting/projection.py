"""Starting points of the descents, from a grid over (b, d).

For given b and d, the law is linear in amp and c, and the least-squares solution with amp > 0 and c >= 0 has a closed
form (variable projection, Golub and Pereyra 1973). A two-dimensional grid therefore finds the basins of the
four-dimensional problem.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats, Points

NEGATIVE = 0.9
"""The lower bound of a signed offset d is minus this fraction of the first compute."""
GRID_B, GRID_D = 20, 16
_AT_ONCE = 64
"""Number of rows that are projected together. Their cells fit into the cache."""
_AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


@attrs.frozen(eq=False)
class Scaled:
    """One set of points in scaled units: compute relative to the geometric mean of its smallest and largest value,
    error relative to its lowest value."""

    x: Floats
    """Compute minus that of the first point, scaled."""
    e: Floats
    """Error, scaled."""
    reference: float
    """The unit of compute, in FLOPs."""
    lowest: float
    """The unit of error."""
    first: float
    """Compute of the first point, scaled."""
    least: float
    """The lower bound of the shifted compute (compute + d) of the first point, scaled. It bounds the offset d."""

    @classmethod
    def of(cls, points: Points, signed: bool) -> Scaled:
        compute, error = points.compute, points.error
        reference = float(np.exp(0.5 * (np.log(compute.min()) + np.log(compute.max()))))
        first = float(compute.min()) / reference
        least = (1 - NEGATIVE) * first if signed else first
        lowest = float(error.min())
        return cls(compute / reference - first, error / lowest, reference, lowest, first, least)

    def inward(self, law: Floats) -> Floats:
        """Return theta, shape (..., 4), of laws (a, b, c, d) in FLOPs and units of the error."""
        a, b, c, d = np.moveaxis(law, -1, 0)
        first = np.maximum(d / self.reference + self.first, self.least)
        log_amp = np.log(a) - b * np.log(self.reference) - np.log(self.lowest)
        return np.stack([log_amp, b, c / self.lowest, np.log(first)], -1)

    def outward(self, theta: Floats) -> Floats:
        """Return laws (a, b, c, d), shape (..., 4), in FLOPs and units of the error, of theta."""
        log_amp, b, c, log_first = np.moveaxis(theta, -1, 0)
        a = np.exp(log_amp + b * np.log(self.reference)) * self.lowest
        # At its bound, set the offset to the exact bound, without the rounding error of the logarithm.
        at_bound = log_first <= np.log(self.least) + 1e-12
        moved = np.where(at_bound, self.least - self.first, np.exp(log_first) - self.first)
        return np.stack([a, b, c * self.lowest, moved * self.reference], -1)


@attrs.frozen(eq=False)
class Grid:
    """The cells (b, first) of the grid of one set, and the power law (x + first)^-b of each cell at the points."""

    b: Floats
    """Exponent of each cell."""
    first: Floats
    """Shifted compute (compute + d) of the first point, of each cell."""
    shape: tuple[int, int]
    """Number of b and of first."""
    power: Floats
    """The power law, shape (points, cells), scaled so that the maximum of each cell is 1."""
    squared: Floats
    """`power` squared."""
    log_size: Floats
    """Log of the maximum of each cell before scaling."""

    @classmethod
    def of(cls, one: Scaled, b: Floats | None) -> Grid:
        """Return the grid of a set over the exponents `b`. None: over the default range of exponents."""
        b_axis = np.geomspace(0.02, 3.0, GRID_B) if b is None else b
        more = np.exp(np.linspace(np.log(one.least) - 2.0, 3.0, GRID_D - 1))
        first_axis = one.least + np.concatenate([[0.0], more])
        cells_b, first = np.repeat(b_axis, len(first_axis)), np.tile(first_axis, len(b_axis))
        log_power = -cells_b * np.log(one.x[:, None] + first)
        log_size = log_power.max(0)
        power = np.exp(log_power - log_size)
        return cls(cells_b, first, (len(b_axis), len(first_axis)), power, power**2, log_size)


def starts(grid: Grid, error: Floats, weight: Floats, count: int) -> Floats:
    """Return `count` starting points theta for each row of weights, shape (rows, count, 4). The lowest local minima of
    the projected sum of squares come first.

    `error`: shape (1 or rows, points). `weight`: shape (rows, points); the weights decide whether absolute or relative
    errors are fitted.
    """
    found = np.empty((len(weight), count, 4))
    for low in range(0, len(weight), _AT_ONCE):
        rows = slice(low, low + _AT_ONCE)
        found[rows] = _best(grid, error if len(error) == 1 else error[rows], weight[rows], count)
    return found


def _best(grid: Grid, error: Floats, weight: Floats, count: int) -> Floats:
    amp, c, rest = _project(grid, error, weight)
    if count > 1:
        # Select the local minima first, then the lowest of the other cells.
        rest = np.where(_lowest(rest, grid.shape), rest, rest + 10 * rest.max(1, keepdims=True))
    row, order = np.arange(len(rest)), np.empty((len(rest), count), np.intp)
    for place in range(count):
        order[:, place] = rest.argmin(1)
        rest[row, order[:, place]] = np.inf
    amp, c = np.take_along_axis(amp, order, 1), np.take_along_axis(c, order, 1)
    log_amp = np.log(np.maximum(amp, 1e-17)) - grid.log_size[order]
    return np.stack([log_amp, grid.b[order], c, np.log(grid.first)[order]], -1)


def _lowest(rest: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of the cells that are not higher than any of their eight neighbours."""
    rows, columns = shape
    field = np.pad(rest.reshape(-1, rows, columns), ((0, 0), (1, 1), (1, 1)), constant_values=np.inf)
    inner = field[:, 1:-1, 1:-1]
    lowest = np.ones(inner.shape, bool)
    for i, j in _AROUND:
        lowest &= inner <= field[:, 1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
    return lowest.reshape(rest.shape)


def _project(grid: Grid, error: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return amp > 0 and c >= 0 of the weighted least-squares solution, and its sum of squares, for each row of weights
    and each cell: three arrays of shape (rows, cells).

    The sums over points are matrix products, since all rows share the powers of the grid.
    """
    uu, u1, uy = weight @ grid.squared, weight @ grid.power, (weight * error) @ grid.power
    ones, one_y, yy = (part.sum(1)[:, None] for part in (weight, weight * error, weight * error**2))
    # Project the constant out of the power law (own) and out of its product with the error (along).
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
