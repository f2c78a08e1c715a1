"""A plan walked through every draw of the curves, stage by stage, at its own compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Floats
from shapeflow.laws.fitting.posterior import Draws

FIRST = 4
"""Grid points of the first stretch of a curve."""


def _interpolated(at: Floats, x: Floats, y: Floats) -> Floats:
    """`np.interp` of every row: `at` is (rows,) or (rows, values), `x` ascends along (rows, points)."""
    values = at if at.ndim == 2 else at[:, None]
    before = np.clip((x[:, None, :] <= values[:, :, None]).sum(2) - 1, -1, x.shape[1] - 1)
    left, right = np.maximum(before, 0), np.minimum(before + 1, x.shape[1] - 1)
    (x0, y0), (x1, y1) = ((np.take_along_axis(x, k, 1), np.take_along_axis(y, k, 1)) for k in (left, right))
    # Outside, both ends are the same point.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(left == right, y0, (y1 - y0) / (x1 - x0) * (values - x0) + y0)
    found = np.where(np.isnan(values), np.nan, found)
    return found if at.ndim == 2 else found[:, 0]


@attrs.frozen
class Piece:
    """One stage: its shape, and its length in the unit of the curves."""

    shape: Shape
    length: float


@attrs.frozen(eq=False)
class Lines:
    """The curves of one shape as they are asked: log compute against log error, both (draws, points)."""

    places: Floats
    log_error: Floats
    stretch: float
    """Log compute of the first stretch, without differences between runs: these may make it arbitrarily short."""

    @classmethod
    def of(cls, draws: Draws, times: float = 1.0) -> Lines:
        """`times`: how many times the runs there are, if more of them were to confirm each draw."""
        stretch = float(draws.grid[FIRST] - draws.grid[0])
        return cls(draws.places(draws.runs * times), draws.log_error, stretch)

    def log_error_at(self, place: Floats) -> Floats:
        """Log error of each draw at its own log compute, (draws,), or at several, (draws, points). Before its first
        point a curve continues with the slope of its first stretch."""
        inside = _interpolated(place, self.places, self.log_error)
        before = np.maximum((self.places[:, 0] - place.T).T, 0.0)
        return np.asarray(inside + (self._slope * before.T).T)

    def place_at(self, log_error: Floats) -> Floats:
        """(draws,): log compute at which each draw reaches its own log error; infinite if it does not. The inverse of
        `log_error_at`."""
        return self._place_at(log_error[:, None])[:, 0]

    def places_at(self, log_errors: Floats) -> Floats:
        """(draws, errors): `place_at` for the same log errors in every draw, (errors,)."""
        return self._place_at(np.broadcast_to(log_errors, (len(self.places), len(log_errors))))

    def _place_at(self, log_error: Floats) -> Floats:
        """(draws, errors): log compute at which each draw reaches log errors of its own."""
        # Where a curve is level, no two of its points may have the same error.
        small = 1e-12 * np.arange(self.log_error.shape[1])
        found = _interpolated(log_error, self.log_error[:, ::-1] + small, self.places[:, ::-1])
        found = np.where(log_error < self.log_error[:, -1:], np.inf, found)
        before = self.places[:, :1] - (log_error - self.log_error[:, :1]) / self._slope[:, None]
        return np.asarray(np.where(log_error > self.log_error[:, :1], before, found))

    @property
    def _slope(self) -> Floats:
        """(draws,): -d log error / d log compute over the first stretch, above 0."""
        fall = self.log_error[:, 0] - self.log_error[:, FIRST]
        return np.asarray(np.maximum(fall / self.stretch, 1e-3))


@attrs.frozen(eq=False)
class Walk:
    """The plan in every draw."""

    log_error: Floats
    """(draws,): at the end."""
    left: tuple[Floats, ...]
    """(draws,): log error at the end of each stage."""
    places: tuple[Floats, ...]
    """(draws,): log compute on the stage's own curve at which each stage ends."""


def walk(lines: Mapping[Shape, Lines], pieces: Sequence[Piece], credits: Sequence[Floats | float]) -> Walk:
    """Walk a plan: each stage continues on its own curve at `credit` of the compute that its shape would have needed to
    reach the error so far. `credits`: one per switch, a number or (draws,)."""
    left: list[Floats] = []
    places: list[Floats] = []
    for number, piece in enumerate(pieces):
        line = lines[piece.shape]
        begun: Floats | float = 0.0
        if number:
            begun = credits[number - 1] * np.exp(line.place_at(left[-1]))
        place = np.log(begun + np.full(len(line.places), piece.length))
        places.append(place)
        left.append(line.log_error_at(place))
    return Walk(left[-1], tuple(left), tuple(places))


def needs(lines: Mapping[Shape, Lines], log_error: Floats) -> dict[Shape, Floats]:
    """(draws,) for each shape: the compute that it needs, fixed, to reach a log error; infinite if it does not."""
    return {shape: np.exp(line.place_at(log_error)) for shape, line in lines.items()}


def savings(budget: float, need: Floats) -> Floats:
    """Share of the compute of a fixed shape that the plan saves; 1 where the shape never reaches the plan's error,
    and minus infinity where it needs nothing, or almost nothing."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.where(np.isfinite(need), 1 - budget / need, 1.0))
