"""Fit the law of a mixture to its pilots, and draw laws that the pilots also allow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import B, Kinds, errors
from shapeflow.laws.mixing.pilots import Trial
from shapeflow.laws.mixing.solver import VALUES, Data, descend, priors, starts

DRAWS, SEED = 500, 1
OWN = 0.35
"""A shape with at least this share of the data of some pilot has its own k. All others share one, and are not
recommended."""
TWICE = 2
"""A shape is recommended if this many pilots have it as a large part: the best of several shapes that were tried once
may only have had the luckiest seed."""


@attrs.frozen(eq=False)
class Fitted:
    """The fit of some pilots. Data are in units of `unit`."""

    trials: Sequence[Trial]
    kinds: Kinds
    theta: Floats
    """(parameters,)"""
    unit: float
    seed_deviation: float
    point_deviation: float
    objective: float

    @property
    def residuals(self) -> list[Floats]:
        """Measured minus fitted errors of each pilot."""
        return [one.error - errors(self.theta[None], one.data / self.unit, self.kinds)[0] for one in self.trials]

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(np.concatenate(self.residuals) ** 2)))

    @property
    def level(self) -> float:
        """Standard deviation of the level of a run: as assumed, or larger if the pilots show it."""
        means = np.array([one.mean() for one in self.residuals])
        return max(self.seed_deviation, math.sqrt(float((means**2).sum()) / max(1, len(means) - 2)))


def fit(
    trials: Sequence[Trial], target: int, seed_deviation: float, point_deviation: float, values: float = VALUES
) -> Fitted:
    """The best of several descents. `seed_deviation`, `point_deviation`: of the level of a run and of a measurement, in
    units of the error; `values`: how many independent values a run counts as."""
    kinds = kinds_of(trials, target)
    unit = float(np.median(np.concatenate([one.data.sum(1) for one in trials])))
    error, points = _points(trials, unit, math.hypot(seed_deviation, point_deviation))
    points = attrs.evolve(points, values=values)
    first = starts(error, len(kinds.groups))
    theta, value = descend(first, np.repeat(error[None], len(first), 0), points, kinds)
    place = int(value.argmin())
    return Fitted(trials, kinds, theta[place], unit, seed_deviation, point_deviation, float(value[place]))


def kinds_of(trials: Sequence[Trial], target: int) -> Kinds:
    """The parameters that the pilots determine."""
    largest = np.max([one.data[-1] / one.data[-1].sum() for one in trials], axis=0)
    seen = [shape for shape in range(len(largest)) if shape != target and largest[shape] > 0]
    own = tuple(shape for shape in seen if largest[shape] >= OWN)
    rest = tuple(shape for shape in seen if largest[shape] < OWN)
    pilots = {shape: sum(one.share(shape) >= OWN for one in trials) for shape in own}
    twice = tuple(shape for shape in own if pilots[shape] >= TWICE)
    return Kinds(target, (*((shape,) for shape in own), *((rest,) if rest else ())), twice or own)


def draws(found: Fitted, count: int = DRAWS) -> Floats:
    """(count, parameters): fits to resampled pilots. Every pilot gets a new level and new noise around its fitted
    curve; the means of the priors are resampled around the fit likewise, or they would pull every draw twice."""
    random = np.random.default_rng(SEED)
    fitted = [one.error - missed for one, missed in zip(found.trials, found.residuals, strict=True)]
    _, points = _points(found.trials, found.unit, math.hypot(found.seed_deviation, found.point_deviation))
    levels = random.normal(0, found.level, (count, len(fitted)))[:, points.run]
    noise = random.normal(0, found.point_deviation, (count, len(points.run)))
    deviation = priors(len(found.kinds.groups))[1]
    centre = found.theta[B:] + random.normal(0, 1, (count, len(deviation))) * deviation
    points = attrs.evolve(points, centre=centre)
    begin, error = np.repeat(found.theta[None], count, 0), np.concatenate(fitted) + levels + noise
    return descend(begin, error, points, found.kinds)[0]


def _points(trials: Sequence[Trial], unit: float, deviation: float) -> tuple[Floats, Data]:
    run = np.concatenate([np.full(len(one.error), number) for number, one in enumerate(trials)])
    error = np.concatenate([one.error for one in trials])
    return error, Data(np.concatenate([one.data for one in trials]) / unit, run, deviation)
