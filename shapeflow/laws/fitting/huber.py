"""The objective of a fit and its derivatives: the Huber loss of the residuals of many laws at once.

The parameters of a law are theta = (log amp, b, c, log first). The error after compute x, in the scaled units of the
set, is amp (x - x_first + first)^-b + c. `first` is the shifted compute (compute + d) of the first point. The law is
nearly linear in these parameters, and bounds on c and d are each a bound on a single parameter.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats

Places = NDArray[np.intp]
PLANES = 6
"""Number of work arrays over all points that `look` needs."""


@attrs.frozen(eq=False)
class Batch:
    """The points of groups of laws, as arrays of shape (groups, laws, points). A first axis of length 1 broadcasts to
    all groups.

    Shorter sets are padded with points of weight 0.
    """

    x: Floats
    """Compute minus that of the first point of the set."""
    y: Floats
    """The fitted values: the log of the error, or with `linear` the error itself, relative to the lowest of the set."""
    root: Floats
    """The square root of the weight of each point."""
    low: Floats
    """The lower bound of log first, shape (groups, laws)."""
    linear: bool = False

    def groups(self, chosen: Places) -> Batch:
        """Return some of the groups."""
        x, y, root, low = (p if len(p) == 1 else p[chosen] for p in (self.x, self.y, self.root, self.low))
        return Batch(x, y, root, low, self.linear)

    def apart(self, groups: int) -> Batch:
        """Return a batch in which every law is a group of its own, in the order of the groups. `groups`: the number of
        groups, to which arrays with a first axis of length 1 are expanded."""
        x, y, root = (
            np.broadcast_to(p, (groups, *p.shape[1:])).reshape(-1, 1, p.shape[2]) for p in (self.x, self.y, self.root)
        )
        low = np.broadcast_to(self.low, (groups, self.low.shape[1])).reshape(-1, 1)
        return Batch(x, y, root, low, self.linear)

    def put(self, places: Places, other: Batch, chosen: Places) -> None:
        """Replace the groups at `places` by the groups `chosen` of another batch."""
        for mine, its in ((self.x, other.x), (self.y, other.y), (self.root, other.root), (self.low, other.low)):
            if len(its) > 1:
                mine[places] = its[chosen]


def huber_loss(theta: Floats, batch: Batch, delta: float) -> Floats:
    """Return the Huber loss of the residuals, summed over the points of each law: shape (groups, laws)."""
    size = np.abs(residual(theta, batch))
    inner = np.minimum(size, delta)
    return np.asarray((batch.root**2 * (inner * (size - 0.5 * inner))).sum(2))


def residual(theta: Floats, batch: Batch) -> Floats:
    """Return log(law) - log(measured), or with `linear` law - measured: shape (groups, laws, points)."""
    log_amp, b, c, log_first = (theta[..., i, None] for i in range(4))
    whole = np.exp(log_amp - b * np.log(batch.x + np.exp(log_first))) + c
    return np.asarray((whole if batch.linear else np.log(whole)) - batch.y)


def look(theta: Floats, batch: Batch, delta: Floats, planes: Floats) -> tuple[Floats, Floats]:
    """Return the objective of each group at its delta, shape (groups,), and sums over points of products of planes,
    shape (5, 6, groups, laws).

    Planes 0 to 3 are the derivatives of the residual r with respect to log amp, -b, c and log first (the last divided
    by -b first), each times k sqrt(weight) with k = min(1, delta / |r|). Plane 4 is k r sqrt(weight), and plane 5 is
    r sqrt(weight). `sums[:4, 5]` is therefore the gradient of the Huber loss, and `sums[:4, :4]` is a Gauss-Newton
    matrix in which points with |r| > delta have the weight k^2. That is less than in iterative reweighting (k) and more
    than in Newton's method (0); it was the fastest of the three in experiments.

    `planes`: work arrays of shape (PLANES, groups, laws, points), which are overwritten.
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
