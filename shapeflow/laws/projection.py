"""Where descents start: a grid over (b, d) on which the law is linear in what remains.

Given b and d, the amp > 0 and c >= 0 of least squared relative error stand in closed form (variable projection, Golub
and Pereyra 1973), so a grid of two dimensions finds the basins of a problem of four.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.points import Floats, Points

NEGATIVE = 0.9
"""A signed offset d may go down to this part of the first compute, below 0."""
GRID_B, GRID_D = 20, 16


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


def starts(one: Scaled, b: NDArray[np.float64] | None, count: int) -> Floats:
    """`count` theta, the lowest local minima of the projected sum first: (count, 4); b is given or free."""
    b_axis = np.geomspace(0.02, 3.0, GRID_B) if b is None else b
    first_axis = one.least + np.concatenate([[0.0], np.exp(np.linspace(np.log(one.least) - 2.0, 3.0, GRID_D - 1))])
    grid_b, grid_first = (axis.ravel() for axis in np.meshgrid(b_axis, first_axis, indexing="ij"))
    log_amp, c, rest = _project(one, grid_b, grid_first)
    field = np.pad(rest.reshape(len(b_axis), len(first_axis)), 1, constant_values=np.inf)
    inner = field[1:-1, 1:-1]
    rows, columns = inner.shape
    around = [field[1 + i : 1 + i + rows, 1 + j : 1 + j + columns] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    lowest = np.all([inner <= other for other in around], axis=0).ravel()
    order = np.lexsort((rest, ~lowest))[:count]
    return np.stack([log_amp, grid_b, c, np.log(grid_first)], 1)[order]


def _project(one: Scaled, b: Floats, first: Floats) -> tuple[Floats, Floats, Floats]:
    """For each cell: log amp and c of least squared relative error, and that sum."""
    u = np.exp(-b[:, None] * np.log(one.x[None] + first[:, None]))
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
    return np.log(np.maximum(amp / size[:, 0], 1e-17)), c, rest
