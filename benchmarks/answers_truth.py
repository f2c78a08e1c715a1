"""Curves that are known, and what a plan does on them: the truth that `answers.py` compares answers with."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.points import Floats, Point
from shapeflow.stages.assess.walked import Piece

WARMUP = 2
"""Points that are left out at the start of each run: the default of `fit`."""
GRID = 160
"""Points of a smoothed curve."""
NARROWEST, GAPS = 0.10, 2.5
"""Bandwidth of the smoothing, in log compute: at least the first, and this many gaps between points."""
ERRORS = 25
"""Errors at which the best plan over true curves may switch."""
FEE = 0.01
"""A switch of that plan must save this share of the best fixed shape's compute, so that noise makes no switches."""
BEYOND = 0.02
"""Log compute by which a stage may run past the end of a true curve."""
LOW, HIGH = 0.05, 1e5
"""Compute between which known laws are tabulated."""

Bend = tuple[float, float] | None
"""A second power: the compute at which it begins, and how much it adds to the exponent."""


@attrs.frozen(eq=False)
class Truth:
    """A curve that is known: log error against log compute. It never rises."""

    x: Floats
    y: Floats

    def error(self, place: float) -> float:
        """Log error at a log compute."""
        return float(np.interp(place, self.x, self.y))

    def place(self, error: float) -> float:
        """Log compute at a log error; infinite if the curve ends above it. Above the first point the curve continues
        with the slope of its first tenth of points."""
        if error > self.y[0]:
            near = max(len(self.y) // 16, 1)
            slope = max(float((self.y[0] - self.y[near]) / (self.x[near] - self.x[0])), 1e-3)
            return float(self.x[0] - (error - self.y[0]) / slope)
        small = 1e-12 * np.arange(len(self.y))
        return float(np.interp(error, self.y[::-1] + small, self.x[::-1], left=np.inf))


def smoothed(run: Sequence[Point]) -> Truth:
    """The curve of a run, by local quadratic regression of log error on log compute."""
    x, y = np.log([point.compute for point in run]), np.log([point.error for point in run])
    grid = np.linspace(x[0], x[-1], GRID)
    widths = np.maximum(NARROWEST, np.interp(grid, x[1:], np.diff(x)) * GAPS)
    found = []
    for at, width in zip(grid, widths, strict=True):
        root = np.exp(-0.25 * ((x - at) / width) ** 2)
        powers = np.vander(x - at, 3, increasing=True)
        found.append(np.linalg.lstsq(powers * root[:, None], y * root, rcond=None)[0][0])
    return Truth(grid, np.minimum.accumulate(np.array(found)))


@attrs.frozen
class Known:
    """A law a C^-b + c, with or without a second power."""

    a: float
    b: float
    c: float
    bend: Bend = None

    def error(self, compute: Floats) -> Floats:
        """The expected error."""
        falls = self.a * compute**-self.b
        if self.bend is not None:
            falls = falls * (1 + (compute / self.bend[0]) ** 4) ** (-self.bend[1] / 4)
        return np.asarray(falls + self.c)

    def truth(self) -> Truth:
        """The law as a table."""
        compute = np.geomspace(LOW, HIGH, 4000)
        return Truth(np.log(compute), np.log(self.error(compute)))

    def run(self, compute: Floats, level: float, noise: float, rng: np.random.Generator) -> tuple[Point, ...]:
        """One run. Its compute at equal error differs from the law by an Ornstein-Uhlenbeck process of standard
        deviation `level` that is alike over a decade; its log error has first-order autoregressive noise."""
        kept = np.exp(-np.diff(np.log(compute)) / math.log(10.0))
        moved = level * _chain(kept, rng)
        errors = self.error(compute * np.exp(moved)) * np.exp(noise * _chain(np.full(len(kept), 0.6), rng))
        return tuple(Point(float(c), float(e)) for c, e in zip(compute, errors, strict=True))


def _chain(kept: Floats, rng: np.random.Generator) -> Floats:
    """A stationary process of variance 1 whose neighbours have the correlations `kept`."""
    found = rng.standard_normal(len(kept) + 1)
    for at, one in enumerate(kept, 1):
        found[at] = one * found[at - 1] + math.sqrt(1 - one * one) * found[at]
    return found


def end_of(truth: Mapping[Shape, Truth], pieces: Sequence[Piece]) -> float | None:
    """Log error at the end of a plan on the true curves; None if a stage runs past the end of its curve.

    Written apart from the product's `walk`, so that a fault in one of them shows.
    """
    error: float | None = None
    for piece in pieces:
        curve = truth[piece.shape]
        begun = 0.0 if error is None else math.exp(curve.place(error))
        place = math.log(begun + piece.length)
        if place > curve.x[-1] + BEYOND:
            return None
        error = curve.error(place)
    return error


def least_fixed(truth: Mapping[Shape, Truth], error: float) -> float | None:
    """Compute of the best fixed shape at a log error; None if a shape that ends above the error might be the best."""
    places = {shape: curve.place(error) for shape, curve in truth.items()}
    least = min(places.values())
    open_ended = [truth[shape].x[-1] for shape, place in places.items() if math.isinf(place)]
    return None if math.isinf(least) or any(end < least for end in open_ended) else math.exp(least)


def possible(truth: Mapping[Shape, Truth], top: float, end: float) -> float:
    """The saving of the best plan over the true curves, from log error `top` to `end`, with free switches.

    Dynamic programme over `ERRORS` errors. `FEE` is charged when the plan is chosen, and not counted in its saving.
    """
    errors = np.linspace(max(top, end + 1e-6), end, ERRORS)
    compute = np.exp([[curve.place(error) for error in errors] for curve in truth.values()])
    least = compute[:, -1].min()
    with np.errstate(invalid="ignore"):
        pieces = np.diff(compute, axis=1)
    pieces = np.where(np.isfinite(pieces), np.maximum(pieces, 0.0), np.inf)
    cost = compute[:, 0].copy()
    charged = cost.copy()
    for piece in pieces.T:
        before = int(np.argmin(charged))
        moved = charged[before] + FEE * least < charged
        cost = np.where(moved, cost[before], cost) + piece
        charged = np.where(moved, charged[before] + FEE * least, charged) + piece
    return float(1 - cost[np.argmin(charged)] / least)


def gemstones(path: Path) -> dict[Shape, tuple[Point, ...]]:
    """The run of each shape in a file of the Gemstones (McLeish et al. 2025), by 6 N D, without its warm-up."""
    runs: dict[Shape, list[Point]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["final_loss"] is not None:
            shape = Shape.of(width=row["width"], depth=row["depth"])
            runs[shape].append(Point(6.0 * row["params_active_precise"] * row["tokens"], row["final_loss"]))
    return {shape: ready(points) for shape, points in runs.items()}


def seeds(path: Path, axis: str, metric: str) -> dict[Shape, list[tuple[Point, ...]]]:
    """The runs of each shape in a table of `sweep`, without their warm-up."""
    runs: dict[tuple[Shape, str], list[Point]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            place = Shape.of({axis: int(row[axis])}), row["run"]
            runs[place].append(Point(float(row["compute"]), float(row[metric])))
    found: dict[Shape, list[tuple[Point, ...]]] = defaultdict(list)
    for (shape, _), points in runs.items():
        found[shape].append(ready(points))
    return dict(found)


def ready(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points in order of compute, without the warm-up."""
    return tuple(sorted(points, key=lambda point: point.compute)[WARMUP:])
