"""The law of a mixture from its pilots, with draws and the reasons for which it cannot be relied on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from shapeflow.ir.answer import Against, Range, Reason
from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import LAM, A, B, C, K, Kinds, best, errors, relative_cost
from shapeflow.laws.mixing.pilots import Trial, second_half
from shapeflow.laws.mixing.solver import (
    A_BOUNDS,
    B_BOUNDS,
    K_BOUNDS,
    LAM_BOUNDS,
    VALUES,
    Data,
    descend,
    priors,
    starts,
)

DRAWS, SEED = 500, 1
OWN = 0.35
"""A shape with at least this share of the data of some pilot has its own k. All others share one, and are not
recommended."""
TWICE = 2
"""A shape is recommended if this many pilots have it as a large part: the best of several shapes that were tried once
may only have had the luckiest seed."""
ALIKE = 0.15
"""Two pilots have the same share if their logarithms differ by less."""
FLOOR = 0.3
"""Smallest floor c, over the lowest error: below it, the fit has seen only the start of training."""
MOVES, LEVELS, NOISES = 0.08, 3.0, 2.5
"""Largest changes if the first half of every pilot is left out: of the log of the saving's ratio, and of the error, in
standard deviations of a run; and the largest residual, in standard deviations of a point."""
BEYOND = 2.5
"""How far beyond the pilots the change of the error is judged, in data."""
SEEDS = 2
"""Smallest number of pilots of the target alone for which a saving is stated, by the law or as measured."""
LEAST = 4
"""Smallest number of pilots."""
SIGMA = 2.0
"""How many standard errors a mixture has to be worse by, in the pilots, for the answer no."""


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


def reasons(found: Fitted, prices: Floats) -> Iterator[Reason]:
    """Why the pilots do not support a saving. `prices`: FLOPs per unit of data at each shape."""
    target, count = found.kinds.target, len(found.trials)
    alone = sum(one.share(target) > 1 - 1e-9 for one in found.trials)
    if alone < SEEDS:
        text = "the pilot of the target alone has no second seed" if alone else "no pilot trains the target alone"
        help_ = "`shapeflow pilot` trains both; one seed may promise 55% where 45% is true"
        yield Reason(text=f"{text}: the share is known, the saving is not", help=help_)
    if count < LEAST:
        text = f"there are {count} pilots, and a law of 5 parameters needs at least {LEAST}"
        yield Reason(text=text, help="`shapeflow pilot` trains more shares")
    if (name := _at_bound(found)) is not None:
        text = f"`{name}` of the law stands at the bound of its search"
        yield Reason(text=text, help="longer pilots, or more shares: the pilots do not determine it")
    lowest = min(float(one.error.min()) for one in found.trials)
    if found.theta[C] < FLOOR * lowest:
        text = f"the law falls to {found.theta[C]:.3g}, below {FLOOR:.0%} of the lowest error {lowest:.4g}"
        yield Reason(text=text, help="longer pilots: they show only the start of training")
    noise = math.hypot(found.seed_deviation, found.point_deviation)
    if found.rms > NOISES * noise:
        text = f"the law misses the pilots by {found.rms:.3g} (rms), over {NOISES:g} times their noise, {noise:.3g}"
        yield Reason(text=text, help="longer pilots, or compare shares directly: `shapeflow compare` trains them")
    change = _later(found, prices)
    if change is None:
        text = "a pilot has too few measurements to fit the law to its second half, which would test it"
        yield Reason(text=text, help="evaluate more often, or train longer pilots")
    elif abs(change[0]) > MOVES:
        text = f"the saving changes by {abs(math.expm1(change[0])):.0%} without the first half of every pilot"
        yield Reason(text=text, help="longer pilots: the curves are still bending")


def level_reason(found: Fitted, prices: Floats) -> Reason | None:
    """Why savings, but no errors, can be predicted; None if errors can."""
    change = _later(found, prices)
    if change is None or abs(change[1]) <= LEVELS * found.seed_deviation:
        return None
    text = f"the error at the end changes by {abs(change[1]):.2g} if the first half of every pilot is left out"
    return Reason(text=text, help="longer pilots")


def _at_bound(found: Fitted) -> str | None:
    places = [("a", A, A_BOUNDS), ("b", B, B_BOUNDS), ("lam", LAM, LAM_BOUNDS)]
    places += [("k", K + place, K_BOUNDS) for place in range(len(found.kinds.groups))]
    for name, place, bounds in places:
        if any(abs(found.theta[place] - math.log(bound)) < 1e-3 for bound in bounds):
            return name
    return None


def _later(found: Fitted, prices: Floats) -> tuple[float, float] | None:
    """Changes if the first half of every pilot is left out: of the log of the relative cost of the best shares, and of
    the error beyond the pilots; None if a pilot is too short."""
    halves = [second_half(one) for one in found.trials]
    late = [one for one in halves if one is not None]
    if len(late) < len(halves):
        return None
    other = fit(late, found.kinds.target, found.seed_deviation, found.point_deviation)
    if other.kinds != found.kinds:
        return None
    shares, _ = best(found.theta[None], prices, found.kinds)
    pair = [relative_cost(one.theta[None], shares, prices, one.kinds)[0] for one in (other, found)]
    far = shares * BEYOND * max(one.data[-1].sum() for one in found.trials)
    ends = [float(errors(one.theta[None], far / one.unit, one.kinds)[0, 0]) for one in (other, found)]
    return math.log(pair[0] / pair[1]), ends[0] - ends[1]


def worse(found: Fitted) -> float | None:
    """By how much, at least, every mixture ends the pilots with a higher error than the target alone at equal compute;
    None if one does not, beyond the noise. Then no mixture pays, whatever the form of the law."""
    at = min(float(one.compute[-1]) for one in found.trials)
    ends: dict[float, list[float]] = {}
    for one in found.trials:
        share = one.share(found.kinds.target)
        group = next((other for other in ends if abs(math.log(other / share)) < ALIKE), share)
        ends.setdefault(group, []).append(float(np.interp(math.log(at), np.log(one.compute), one.error)))
    alone = next((levels for share, levels in ends.items() if share > 1 - ALIKE), None)
    mixed = [levels for share, levels in ends.items() if share <= 1 - ALIKE]
    if alone is None or not mixed:
        return None
    gaps = []
    for levels in mixed:
        deviation = max(found.seed_deviation, _between_seeds([levels, alone]))
        gaps.append(float(np.mean(levels) - np.mean(alone)))
        if gaps[-1] <= SIGMA * deviation * math.sqrt(1 / len(levels) + 1 / len(alone)):
            return None
    return float(f"{min(gaps):.2g}")


def measured(trials: Sequence[Trial], target: int) -> Against | None:
    """The share that reached the final error of the target alone with the least compute in the pilots, in pairs of one
    seed; None with less than two seeds of the target, or if no share reached it with every seed."""
    alone = {one.seed: one for one in trials if one.share(target) > 1 - ALIKE and one.seed is not None}
    if len(alone) < SEEDS:
        return None
    savings: dict[tuple[float, ...], list[float | None]] = {}
    for one in trials:
        if one.share(target) <= 1 - ALIKE and one.seed in alone:
            # Equal pilots mix the same shapes with the same shares, to a percent.
            key = tuple((one.data[-1] / one.data[-1].sum()).round(2).tolist())
            savings.setdefault(key, []).append(_saved(one, alone[one.seed]))
    found = [
        (key[target], values) for key, values in savings.items() if len(values) == len(alone) and None not in values
    ]
    known = [(share, [value for value in values if value is not None]) for share, values in found]
    if not known:
        return None
    share, values = max(known, key=lambda pair: float(np.mean(pair[1])))
    low, middle, high = (float(f"{value:.4g}") for value in (min(values), float(np.mean(values)), max(values)))
    return Against(share=share, saving=Range(low=low, middle=middle, high=high))


def _saved(one: Trial, alone: Trial) -> float | None:
    """1 - the compute at which a pilot first reached the final error of another one, over that of the other; None if it
    did not."""
    reached = np.flatnonzero(one.error <= alone.error[-1])
    if not len(reached) or reached[0] == 0:
        return None
    before, after = reached[0] - 1, reached[0]
    part = (one.error[before] - alone.error[-1]) / (one.error[before] - one.error[after])
    compute = math.exp((1 - part) * math.log(one.compute[before]) + part * math.log(one.compute[after]))
    return 1 - compute / float(alone.compute[-1])


def _between_seeds(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation of the errors of equal pilots, pooled over some shares; 0 without a second seed."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    return math.sqrt(squares / freedom) if freedom else 0.0
