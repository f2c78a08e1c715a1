"""Which terms limit the loss at the best width, and its exponents.

For large compute f the best width and the loss there are d* ~ f^xi and loss ~ f^-eta. Source: arXiv 2405.15074,
section 5 and its table of phases; R = 2 alpha + 2 beta - 1. Below the line 2 alpha = 1 these exponents appear only at
very large compute: `benchmarks/exponents.py` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.laws.random_features.problem import outside

Term = Literal["capacity", "descent", "distortion", "noise"]
TERMS: dict[Term, str] = {
    "capacity": "what this width cannot express, F_0(d)",
    "descent": "directions that SGD has not learned yet, F_pp(r)",
    "distortion": "directions that the random features distort, F_ac(r, d)",
    "noise": "the noise of SGD, K_pp(r)",
}
"""Term of the loss -> what it is, with the paper's name. r: steps, d: width."""
Name = Literal["Ia", "Ib", "Ic", "II", "III", "IVa", "IVb"]
NAMES: tuple[Name, ...] = get_args(Name)

STEEP = 1 - 1 / math.sqrt(2)
"""alpha of the boundary between IVa and IVb."""
NEAR = 1e-9
"""Distance at which a point counts as on a boundary."""


@attrs.frozen
class Boundary:
    """A straight boundary in the plane of (alpha, beta): from a point in a direction, for some length."""

    name: str
    """Its equation."""
    origin: tuple[float, float]
    direction: tuple[float, float]
    """Of length 1."""
    length: float = math.inf

    def nearest(self, alpha: float, beta: float) -> tuple[float, float]:
        """The nearest point of the boundary."""
        (x, y), (dx, dy) = self.origin, self.direction
        along = min(max((alpha - x) * dx + (beta - y) * dy, 0.0), self.length)
        return x + along * dx, y + along * dy

    def distance(self, alpha: float, beta: float) -> float:
        x, y = self.nearest(alpha, beta)
        return math.hypot(alpha - x, beta - y)


_DIAGONAL = 1 / math.sqrt(2)
BOUNDARIES = (
    Boundary("2 beta = 1", (0.0, 0.5), (1.0, 0.0)),
    Boundary("2 alpha = 1", (0.5, 0.0), (0.0, 1.0)),
    Boundary("beta = alpha", (0.5, 0.5), (_DIAGONAL, _DIAGONAL)),
    Boundary("alpha = 1/4", (0.25, 0.5), (0.0, 1.0)),
    Boundary("alpha = 1 - 1/sqrt(2)", (STEEP, 0.5), (0.0, 1.0)),
    Boundary("2 alpha + 2 beta = 1", (0.0, 0.5), (_DIAGONAL, -_DIAGONAL), _DIAGONAL),
)


@attrs.frozen
class Phase:
    """A phase at one point of the plane."""

    name: Name
    balance: tuple[Term, Term]
    """The two terms that are about equal at the best width. Others are smaller."""
    width_exponent: float
    """xi: d* ~ f^xi."""
    loss_exponent: float
    """eta: loss at d* ~ f^-eta."""
    boundary: Boundary
    """The nearest one."""
    distance: float
    """Euclidean distance to it, in the plane of (alpha, beta)."""
    beyond: Name | None
    """The phase on the other side of it; None if the theory ends there, or if the point is on it."""

    @property
    def on_boundary(self) -> bool:
        """Whether powers of log f appear in addition: the phases on both sides have the same exponents here, except
        xi at `STEEP`."""
        return self.distance < NEAR


def phase_of(alpha: float, beta: float) -> Phase:
    """The phase of (alpha, beta). Raises ValueError outside the theory."""
    wrong = outside(alpha, beta)
    if wrong is not None:
        raise ValueError(wrong)
    name = _name(alpha, beta)
    balance, exponents = _TABLE[name]
    xi, eta = exponents(alpha, beta, 2 * alpha + 2 * beta - 1)
    boundary = min(BOUNDARIES, key=lambda one: one.distance(alpha, beta))
    distance = boundary.distance(alpha, beta)
    return Phase(name, balance, xi, eta, boundary, distance, _beyond(boundary, alpha, beta, distance))


def name_of(alpha: float, beta: float) -> Name | None:
    """The name of the phase of (alpha, beta); None outside the theory."""
    return None if outside(alpha, beta) is not None else _name(alpha, beta)


def exponents_of(name: Name, alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """(n,), (n,): xi and eta by the formulas of a phase, at points of that phase, (n,)."""
    xi, eta = _TABLE[name][1](alpha, beta, 2 * alpha + 2 * beta - 1)
    return np.broadcast_to(xi, np.shape(alpha)), np.broadcast_to(eta, np.shape(alpha))


def _beyond(boundary: Boundary, alpha: float, beta: float, distance: float) -> Name | None:
    """The phase just across a boundary, straight on from the point; None on the boundary."""
    if distance < NEAR:
        return None
    x, y = boundary.nearest(alpha, beta)
    x, y = x + 1e-6 * (x - alpha) / distance, y + 1e-6 * (y - beta) / distance
    return None if outside(x, y) is not None else _name(x, y)


def _name(alpha: float, beta: float) -> Name:
    if beta <= 0.5:
        return "Ia" if alpha > 0.5 else "Ib"
    if alpha > 0.5:
        return "II" if beta <= alpha else "III"
    if alpha <= 0.25:
        return "Ic"
    return "IVa" if alpha > STEEP else "IVb"


def _ic(a: Any, b: Any, r: Any) -> tuple[Any, Any]:
    q = r * (2 - 2 * a) + 4 * a**2
    return r / q, 2 * a * r / q


def _ivb(a: Any, b: Any, r: Any) -> tuple[Any, Any]:
    q = 2 * b - a - 2 * a * b
    return (b - a) / q, (1 - 2 * a) * r / (2 * q)


_TABLE: dict[Name, tuple[tuple[Term, Term], Callable[[Any, Any, Any], tuple[Any, Any]]]] = {
    "Ia": (("descent", "capacity"), lambda a, b, r: (1 / (2 * a + 1), r / (2 * a + 1))),
    "Ib": (("descent", "capacity"), lambda a, b, r: (0.5, r / 2)),
    "Ic": (("descent", "capacity"), _ic),
    "II": (("descent", "distortion"), lambda a, b, r: (b / (a + b), r / (2 * (a + b)))),
    "III": (("noise", "distortion"), lambda a, b, r: (0.5, (4 * a - 1) / (4 * a))),
    "IVa": (("noise", "capacity"), lambda a, b, r: (0.5, a)),
    "IVb": (("descent", "noise"), _ivb),
}
"""Phase -> the terms that balance, and (xi, eta) from alpha, beta and R: numbers, or arrays of them."""
