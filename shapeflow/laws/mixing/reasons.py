"""The reasons for which the law of a mixture cannot be relied on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from shapeflow.ir.answer import Reason
from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import LAM, A, B, C, K, best, errors, relative_cost
from shapeflow.laws.mixing.fitted import Fitted, fit
from shapeflow.laws.mixing.pilots import second_half
from shapeflow.laws.mixing.solver import A_BOUNDS, B_BOUNDS, K_BOUNDS, LAM_BOUNDS

SEEDS = 2
"""Smallest number of pilots of the target alone for which a saving is stated, by the law or as measured."""
LEAST = 4
"""Smallest number of pilots."""
FLOOR = 0.3
"""Smallest floor c, over the lowest error: below it, the fit has seen only the start of training."""
MOVES, LEVELS, NOISES = 0.08, 3.0, 2.5
"""Largest changes if the first half of every pilot is left out: of the log of the saving's ratio, and of the error, in
standard deviations of a run; and the largest residual, in standard deviations of a point."""
BEYOND = 2.5
"""How far beyond the pilots the change of the error is judged, in data."""
FASTER = 1.5
"""How much faster the error may fall in the second half of a pilot than in the first."""


def doubts(found: Fitted, prices: Floats) -> tuple[tuple[Reason, ...], Reason | None]:
    """Why the pilots do not support a saving, and why they do not support an error if they support a saving. `prices`:
    FLOPs per unit of data at each shape."""
    change = _later(found, prices)
    return tuple(_reasons(found, change)), _level_reason(found, change)


def _reasons(found: Fitted, change: tuple[float, float] | None) -> Iterator[Reason]:
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
    if (name := _accelerates(found)) is not None:
        text = (
            f"the error of the pilot `{name}` falls faster in its second half than in its first: it just left a plateau"
        )
        yield Reason(text=text, help="longer pilots, at least 2.5 times as long as the plateau")
    if change is None:
        text = "a pilot has too few measurements to fit the law to its second half, which would test it"
        yield Reason(text=text, help="evaluate more often, or train longer pilots")
    elif abs(change[0]) > MOVES:
        text = f"the saving changes by {abs(math.expm1(change[0])):.0%} without the first half of every pilot"
        yield Reason(text=text, help="longer pilots: the curves are still bending")


def _level_reason(found: Fitted, change: tuple[float, float] | None) -> Reason | None:
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


def _accelerates(found: Fitted) -> str | None:
    """The name of a pilot whose error falls faster per factor of compute in the second half of its points than in the
    first, beyond their noise: after a plateau, whereas a power law slows down. None without one."""
    for one in found.trials:
        place, half = np.log(one.compute), len(one.error) // 2
        first, second = (_fall(place[rows], one.error[rows]) for rows in (slice(0, half + 1), slice(half, None)))
        width = min(place[half] - place[0], place[-1] - place[half])
        if width > 0 and second > FASTER * first + NOISES * found.point_deviation / width:
            return one.name
    return None


def _fall(place: Floats, error: Floats) -> float:
    """The decrease of the error per unit of log compute, by a straight line."""
    return -float(np.polyfit(place, error, 1)[0]) if len(place) > 1 else 0.0
