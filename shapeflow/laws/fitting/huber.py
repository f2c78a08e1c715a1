"""What a fit makes small, and how it changes: Huber's loss of the residuals of many laws at once.

The unknowns of a law are theta = (log amp, b, c, log first): its error after compute x, in the set's own units, is
amp (x - x_first + first)^-b + c, so `first` is the moved compute of the first point. In these the law is nearly linear,
and bounds on c and d are bounds on one unknown.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats

Places = NDArray[np.intp]
PLANES = 6
"""Arrays over all points that a look works in."""


@attrs.frozen(eq=False)
class Batch:
    """The points of groups of laws, (groups, laws, points); an axis of groups of length 1 serves them all.

    Sets of different length are padded with points of weight 0.
    """

    x: Floats
    """Compute above the set's first."""
    y: Floats
    """What is fitted: the log of the relative error, or with `linear` the error itself."""
    root: Floats
    """The root of each point's weight."""
    low: Floats
    """The lowest log first, (groups, laws)."""
    linear: bool = False

    def groups(self, chosen: Places) -> Batch:
        """Some of the groups."""
        x, y, root, low = (p if len(p) == 1 else p[chosen] for p in (self.x, self.y, self.root, self.low))
        return Batch(x, y, root, low, self.linear)

    def apart(self, groups: int) -> Batch:
        """Every law of so many groups in a group of its own, group by group."""
        x, y, root = (
            np.broadcast_to(p, (groups, *p.shape[1:])).reshape(-1, 1, p.shape[2]) for p in (self.x, self.y, self.root)
        )
        low = np.broadcast_to(self.low, (groups, self.low.shape[1])).reshape(-1, 1)
        return Batch(x, y, root, low, self.linear)

    def put(self, places: Places, other: Batch, chosen: Places) -> None:
        """Other groups in the places of these."""
        for mine, its in ((self.x, other.x), (self.y, other.y), (self.root, other.root), (self.low, other.low)):
            if len(its) > 1:
                mine[places] = its[chosen]


def huber_loss(theta: Floats, batch: Batch, delta: float) -> Floats:
    """Huber's loss of the residuals, summed over the points of each law: (groups, laws)."""
    size = np.abs(residual(theta, batch))
    inner = np.minimum(size, delta)
    return np.asarray((batch.root**2 * (inner * (size - 0.5 * inner))).sum(2))


def residual(theta: Floats, batch: Batch) -> Floats:
    """log(law) - log(measured), or with `linear` law - measured: (groups, laws, points)."""
    log_amp, b, c, log_first = (theta[..., i, None] for i in range(4))
    whole = np.exp(log_amp - b * np.log(batch.x + np.exp(log_first))) + c
    return np.asarray((whole if batch.linear else np.log(whole)) - batch.y)


def look(theta: Floats, batch: Batch, delta: Floats, planes: Floats) -> tuple[Floats, Floats]:
    """The objective of each group at its delta, and sums of products over points: (5, 6, groups, laws).

    Planes 0 to 3 are the derivatives of the residual r by log amp, -b, c, and log first over -b first, each times k =
    min(1, delta / |r|) and the root of the weight; 4 is k r and 5 r, times that root. So column 5 is Huber's gradient,
    and the rest a Gauss-Newton matrix in which what lies outside delta counts by k squared: less than reweighting
    counts it (k), more than Newton's method does (0), and quickest by trial.
    """
    log_amp, b, c, log_first = (theta[..., i, None] for i in range(4))
    power, log_moved, _, moved, whole, residual = planes
    np.add(batch.x, np.exp(log_first), out=moved)
    np.log(moved, out=log_moved)
    np.multiply(log_moved, -b, out=power)
    np.add(power, log_amp, out=power)
    np.exp(power, out=power)
    np.add(power, c, out=whole)
    if batch.linear:
        np.subtract(whole, batch.y, out=residual)
    else:
        np.log(whole, out=residual)
        np.subtract(residual, batch.y, out=residual)
    inside = np.abs(residual)
    np.divide(delta[:, None, None], inside, out=inside)
    np.minimum(inside, 1.0, out=inside)
    np.multiply(inside, batch.root, out=inside)
    if batch.linear:
        planes[2] = inside
    else:
        np.divide(inside, whole, out=planes[2])
    np.multiply(inside, residual, out=planes[4])
    np.multiply(residual, batch.root, out=residual)
    np.multiply(power, planes[2], out=power)
    np.multiply(log_moved, power, out=log_moved)
    np.divide(power, moved, out=moved)
    rows = planes.transpose(1, 2, 0, 3)
    products = np.matmul(rows[:, :, :5], rows.swapaxes(2, 3))
    sums = np.ascontiguousarray(products.transpose(2, 3, 0, 1))
    value = (sums[4, 5] - 0.5 * sums[4, 4]).sum(1)
    return np.where(np.isfinite(value), value, np.inf), sums
