"""Measures what the standard error of a held-out set does to predictions: whether it should widen intervals, or weigh
points.

    python benchmarks/held_out_errors.py [--repeats 40] [--resamples 100] [--windows 64]

Three known laws are sampled at 48 points each, with training noise of 0.3 %. All points are evaluated on one held-out
set. The loss of a window differs from the mean by an effect that is common to all evaluations, and by a small part that
is independent in each evaluation. An effect is `added` to the loss, or `proportional` to it. The standard error of a
point is the standard deviation over the windows, divided by the square root of their number.

The columns are the shares of intervals (nominal 90 %) that contain the true value:

- `floor`: c of each law, for the population that the windows are drawn from;
- `loss`: the loss of each law at 3 times its last compute, for this population;
- `fresh set`: the same loss, measured on other windows;
- `saving`: the saving over the best fixed shape, at the same point of training;
- `at a loss`: the saving at a stated loss of the population.

The rows are what is done with the standard errors: nothing; each point weighted by 1/se^2; the intervals of absolute
losses widened in quadrature (by both errors where two sets differ). Savings are never widened.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Literal

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

from coverage import LAWS, POINTS, SIGMA, SPANS, TARGET, asked
from shapeflow.laws.fitting.resample import resample
from shapeflow.laws.fitting.solver import FitOptions, fit_draws, fit_laws
from shapeflow.laws.logs.points import Floats, Points

COMMON, OWN = 0.11, 0.02
"""Standard deviations over windows, relative to the loss at the target: of the common effect, and of the independent
part."""
BEYOND = 3.0
"""Predictions are made at this multiple of the last compute."""
NORMAL = 1.6449
"""The 95th percentile of the normal distribution."""
COLUMNS = ("floor", "loss", "fresh set", "saving", "at a loss")
WAYS = ("nothing", "weighted", "widened")
Effect = Literal["added", "proportional"]


@attrs.frozen(eq=False)
class Measured:
    """One simulated measurement: the points of each law, and the standard error of each point, shape (laws, points).
    `shift`: the mean of the common effect over the windows, relative to the loss or to `TARGET`."""

    points: list[Points]
    errors: Floats
    shift: float


def measured(effect: Effect, windows: int, rng: np.random.Generator) -> Measured:
    common = rng.normal(0, COMMON, windows)
    sets, errors = [], []
    for (a, b, c, d), span in zip(LAWS, SPANS, strict=True):
        compute = np.geomspace(*span, POINTS)
        loss = (a * (compute + d) ** -b + c) * np.exp(rng.normal(0, SIGMA, POINTS))
        scale = loss if effect == "proportional" else np.full(POINTS, TARGET)
        each = loss[:, None] + scale[:, None] * (common + rng.normal(0, OWN, (POINTS, windows)))
        sets.append(Points(compute, each.mean(1), np.zeros(POINTS, dtype=np.intp)))
        errors.append(each.std(1, ddof=1) / np.sqrt(windows))
    return Measured(sets, np.array(errors), float(common.mean()))


def shifted(laws: Floats, effect: Effect, shift: float) -> Floats:
    """Laws of shape (draws, laws, 4) with the common effect of the held-out set removed."""
    laws = laws.copy()
    if effect == "added":
        laws[..., 2] -= shift * TARGET
    else:
        laws[..., [0, 2]] /= 1 + shift
    return laws


def at(laws: Floats, compute: Floats) -> Floats:
    """The loss of each law at its compute, shape (draws, laws)."""
    a, b, c, d = np.moveaxis(laws, -1, 0)
    return np.asarray(a * (compute + d) ** -b + c)


def interval(values: Floats, error: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """The 5th and 95th percentiles of draws, widened in quadrature by a standard error."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0, method="inverted_cdf")
    wide = NORMAL * np.asarray(error)
    return middle - np.hypot(middle - low, wide), middle + np.hypot(high - middle, wide)


def _held(values: Floats, truth: Floats | float, error: Floats | float = 0.0) -> float:
    low, high = interval(values, error)
    return float(np.mean((low <= truth) & (truth <= high)))


def _savings(laws: Floats) -> Floats:
    found = asked(laws)
    return np.where(np.isfinite(found[:, 1]), found[:, 0], 0.0)


def one(effect: Effect, windows: int, resamples: int, seed: int) -> Iterator[list[float]]:
    """Yield, for each of `WAYS`, whether the intervals of one measurement contain the true values, as `COLUMNS`."""
    rng = np.random.default_rng((seed, windows))
    got = measured(effect, windows, rng)
    ends = BEYOND * np.array([high for _, high in SPANS])
    true, saving = at(LAWS[None], ends)[0], float(asked(LAWS[None])[0, 0])
    scale = true if effect == "proportional" else np.full(len(true), TARGET)
    fresh = true + scale * rng.normal(0, np.hypot(COMMON, OWN) / np.sqrt(windows))
    options = FitOptions(exponent="own")
    fitted = fit_laws(got.points, options)
    drawn = [
        resample(p, law, resamples, 3 * seed + i)[0] for i, (p, law) in enumerate(zip(got.points, fitted, strict=True))
    ]
    plain = fit_draws(got.points, drawn, fitted, options).swapaxes(0, 1)
    weights = got.errors.mean(1, keepdims=True) ** 2 / got.errors**2
    heavy = [attrs.evolve(d, weight=np.tile(w / w.mean(), (resamples, 1))) for d, w in zip(drawn, weights, strict=True)]
    weighted = fit_draws(got.points, heavy, fitted, options).swapaxes(0, 1)
    last = got.errors[:, -1]
    for way, laws in zip(WAYS, (plain, weighted, plain), strict=True):
        error = last if way == "widened" else np.zeros_like(last)
        yield [
            _held(laws[..., 2], LAWS[:, 2], error),
            _held(at(laws, ends), true, error),
            _held(at(laws, ends), fresh, np.sqrt(2) * error),
            _held(_savings(shifted(laws, effect, got.shift)), saving),
            _held(_savings(laws), saving),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40, help="measurements of each effect")
    parser.add_argument("--resamples", type=int, default=100, help="resamples of each measurement")
    parser.add_argument("--windows", type=int, default=64, help="windows of the held-out set")
    given = parser.parse_args()
    table = Table(box=None, padding=(0, 2))
    table.add_column("effect")
    table.add_column("standard errors")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    begun = time.perf_counter()
    effects: tuple[Effect, ...] = ("added", "proportional")
    for effect in effects:
        rows = [list(one(effect, given.windows, given.resamples, seed)) for seed in range(given.repeats)]
        for way, held in zip(WAYS, np.mean(rows, axis=0), strict=True):
            table.add_row(effect, way, *(f"{share:.2f}" for share in held))
    Console(highlight=False, width=120).print(table)
    print(f"\n  {given.repeats} measurements of each effect; {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
