"""The two-skill form of a mixture of shapes, on arrays of many parameter vectors.

    E = c + a (u^-b + lam v^-b),    u = n_L + sum_i k_i n_i,    v = n_L

n_L: data units (tokens or samples) at the target shape so far, n_i: at the other shapes, in units of `unit`. u counts
what every shape teaches, v what only the target shape does. A unit of data at shape i is worth k_i units at the target
for the first skill, and nothing for the second. Only totals count, so the best schedule is a constant share.

With prices m per unit of data, the cheapest way to increase u alone is the other shape with the lowest m_i / k_i = p_u,
and of v the target at p_v = m_L - p_u. Minimising p_u u + p_v v at a fixed error gives, for every error,

    v / u = r = (lam p_u / p_v)^(1 / (1 + b))

The form, the fit and the optimum are this project's; skills that several sources share are an idea of Dai and Zheng,
"Explaining Data Mixing Scaling Laws" (2026).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from shapeflow.ir.edits import Floats

C, A, B, LAM, K = 0, 1, 2, 3, 4
"""Places in a parameter vector theta = (c, log a, log b, log lam, log k of each group)."""


@attrs.frozen
class Kinds:
    """Which data each parameter is about. `groups`: the shapes of each k; shapes that are a small part of all pilots
    share one. `free`: the shapes that have a k of their own, which may be recommended."""

    target: int
    groups: tuple[tuple[int, ...], ...]
    free: tuple[int, ...]

    @property
    def known(self) -> frozenset[int]:
        """The shapes that a pilot saw."""
        return frozenset({self.target, *(one for group in self.groups for one in group)})

    def worth(self, theta: Floats, shapes: int) -> Floats:
        """(sets, shapes): k of each shape; 1 for the target, 0 for shapes that no pilot saw."""
        found = np.zeros((len(theta), shapes))
        found[:, self.target] = 1.0
        for place, group in enumerate(self.groups):
            found[:, list(group)] = np.exp(theta[:, K + place])[:, None]
        return found


def errors(theta: Floats, data: Floats, kinds: Kinds) -> Floats:
    """(sets, points): the error. `theta`: (sets, parameters); `data`: (points, shapes), in units of the fit. Infinite
    where the target has no data."""
    c, a, b, lam = theta[:, C], np.exp(theta[:, A]), np.exp(theta[:, B]), np.exp(theta[:, LAM])
    u = kinds.worth(theta, data.shape[1]) @ data.T
    with np.errstate(divide="ignore"):
        first, second = u ** -b[:, None], data[None, :, kinds.target] ** -b[:, None]
    return np.asarray(c[:, None] + a[:, None] * (first + lam[:, None] * second))


def slopes(theta: Floats, data: Floats, kinds: Kinds) -> tuple[Floats, Floats]:
    """The errors, and their derivatives by theta, (sets, points, parameters)."""
    a, b, lam = (np.exp(theta[:, place])[:, None] for place in (A, B, LAM))
    worth = kinds.worth(theta, data.shape[1])
    u, v = worth @ data.T, np.broadcast_to(data[None, :, kinds.target], (len(theta), len(data)))
    first, second = a * u**-b, a * lam * v**-b
    found = np.empty((*u.shape, theta.shape[1]))
    found[..., C] = 1.0
    found[..., A] = first + second
    found[..., B] = -b * (first * np.log(u) + second * np.log(v))
    found[..., LAM] = second
    for place, group in enumerate(kinds.groups):
        shapes = list(group)
        found[..., K + place] = -b * first / u * (worth[:, shapes] @ data[:, shapes].T)
    return theta[:, C][:, None] + first + second, found


def relative_cost(theta: Floats, shares: Floats, prices: Floats, kinds: Kinds) -> Floats:
    """(sets,): the compute that constant shares need, over that of the target alone, at equal error. The same for every
    error. `shares`: (shapes,) of the data, or (sets, shapes); `prices`: per unit of data."""
    b, lam = np.exp(theta[:, B]), np.exp(theta[:, LAM])
    shares = np.broadcast_to(shares, (len(theta), len(prices)))
    u = (kinds.worth(theta, len(prices)) * shares).sum(1)
    with np.errstate(divide="ignore"):
        level = u**-b + lam * shares[:, kinds.target] ** -b
    return np.asarray((shares @ prices) / prices[kinds.target] * (level / (1 + lam)) ** (1 / b))


def best(theta: Floats, prices: Floats, kinds: Kinds, cheap: Sequence[int] | None = None) -> tuple[Floats, Floats]:
    """The best constant shares, (sets, shapes), and their relative cost, (sets,); 1 for the target alone.

    Two skills never need more than two shapes (two linear constraints), so the minimum over pairs is the minimum over
    all mixtures. `cheap`: the shapes that may be mixed in; default: all with a k of their own."""
    b, lam = np.exp(theta[:, B]), np.exp(theta[:, LAM])
    worth = kinds.worth(theta, len(prices))
    shares = np.zeros_like(worth)
    shares[:, kinds.target] = 1.0
    cost = np.ones(len(theta))
    for shape in kinds.free if cheap is None else cheap:
        k = worth[:, shape]
        first = prices[shape] / k
        second = prices[kinds.target] - first
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (lam * first / second) ** (1 / (1 + b))
            least = _least(b, lam, first, second) / (prices[kinds.target] ** b * (1 + lam))
            least = least ** (1 / b)
        pays = (second > 0) & (ratio < 1) & (least < cost)
        target = ratio / (ratio + (1 - ratio) / k)
        cost = np.where(pays, least, cost)
        row = np.zeros_like(shares)
        row[:, kinds.target], row[:, shape] = target, 1 - target
        shares = np.where(pays[:, None], row, shares)
    return shares, cost


def _least(b: Floats, lam: Floats, first: Floats, second: Floats) -> Floats:
    """min over u, v of (first u + second v)^b (u^-b + lam v^-b)."""
    power = 1 / (1 + b)
    return np.asarray((first ** (b * power) + lam**power * second ** (b * power)) ** (1 + b))
