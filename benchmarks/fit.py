"""Measures accuracy and speed of fitting laws, compared with common recipes.

    OMP_NUM_THREADS=1 python benchmarks/fit.py [--laws 200] [--resamples 1000] [--seed 0]

Synthetic laws have 60 points over 2 to 4 decades of compute and noise of 0.2 to 2 %; one point in twenty has ten times
that noise. All methods minimize the same objective: the sum of the Huber loss of log residuals with delta 1e-3. The
rivals are the recipe of paper A, which runs scipy's `minimize` from 32 random starts on the raw parameters (BFGS with
finite differences; compute is divided by its geometric middle, without which it solves nothing), and Nelder-Mead from
16 starts. Solutions must be laws: a and b above 0, c from 0 to below the lowest error, d at least -0.9 times the first
compute. A law counts as solved by a method whose sum is within a relative 1e-3 of the lowest sum of a law that any
method found. The rivals do not use bounds: their lowest solution within the bounds counts, and "led outside" shows how
often a solution outside the bounds had a lower sum.

Methods alternate after every nine laws, so that a change in machine load affects all of them equally. Then nine laws
are resampled, once with an exponent for each law and once with a shared exponent. The total time, from points to
resamples, is compared with the time that Python takes to import `scipy.optimize`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from shapeflow.laws.fitting.resample import resample
from shapeflow.laws.fitting.solver import FitOptions, fit_draws, fit_laws
from shapeflow.laws.logs.points import Floats, Points

DELTA = 1e-3
NEAR = 1e-3
"""A law is solved if the sum is within this relative distance of the lowest."""
BATCH = 9
Method = Literal["BFGS", "Nelder-Mead"]
RIVALS: dict[str, tuple[Method, int]] = {"BFGS, 32 starts": ("BFGS", 32), "Nelder-Mead, 16 starts": ("Nelder-Mead", 16)}
OURS = "shapeflow, in batches of nine"


@attrs.define
class Row:
    """The results of one method: the sum that it reached for each law within the bounds, and its total time in
    seconds."""

    sums: list[float] = attrs.field(factory=list)
    outside: int = 0
    """The number of laws for which it found a lower sum outside the bounds."""
    seconds: float = 0.0


def synthetic(seed: int, b: float | None = None) -> Points:
    """Points of one random law; `b` sets its exponent."""
    rng = np.random.default_rng(seed)
    compute = np.geomspace(1e15, 1e15 * 10 ** rng.uniform(2, 4), 60)
    exponent = float(rng.uniform(0.15, 0.9)) if b is None else b
    c, a = rng.uniform(0.02, 0.5), rng.uniform(0.3, 3.0) * 3e15**exponent
    d = 1e15 * 10 ** rng.uniform(-1, 1.5) if rng.random() < 0.7 else 0.0
    noise = rng.normal(0, 10 ** rng.uniform(np.log10(0.002), np.log10(0.02)), 60)
    noise[rng.random(60) < 0.05] *= 10
    return Points(compute, (a * (compute + d) ** -exponent + c) * np.exp(noise))


def summed(law: Sequence[float] | Floats, compute: Floats, log_error: Floats) -> float:
    """The sum of the Huber loss of log residuals; infinite if the law is undefined at a point."""
    a, b, c, d = law
    with np.errstate(all="ignore"):
        size = np.abs(np.log(a * (compute + d) ** -b + c) - log_error)
    inner = np.minimum(size, DELTA)
    total = float((inner * (size - 0.5 * inner)).sum())
    return total if np.isfinite(total) else float("inf")


def admitted(law: Sequence[float] | Floats, points: Points) -> bool:
    a, b, c, d = law
    return bool(a > 0 and b > 0 and 0 <= c < points.error.min() and d >= -0.9 * points.compute.min())


def recipe(points: Points, method: Method, starts: int, seed: int) -> tuple[float, float]:
    """The lowest sum that `minimize` reaches within the bounds of a law, and the lowest without bounds."""
    rng = np.random.default_rng(seed)
    error, log_error = points.error, np.log(points.error)
    middle = float(np.exp(0.5 * (np.log(points.compute.min()) + np.log(points.compute.max()))))
    x = points.compute / middle
    scaled = Points(x, error)

    def loss(law: Floats) -> float:
        # BFGS uses finite differences, which fail for infinite values.
        return min(summed(law, x, log_error), 1e6)

    best = lowest = float("inf")
    for _ in range(starts):
        b, c = rng.uniform(0.05, 1.5), rng.uniform(0, error.min())
        d = 10 ** rng.uniform(np.log10(x.min()) - 1, np.log10(x.min()) + 2)
        begin = [(error.max() - c) * (x.min() + d) ** b, b, c, d]
        answer = minimize(loss, begin, method=method)
        lowest = min(lowest, float(answer.fun))
        if answer.fun < best and admitted(answer.x, scaled):
            best = float(answer.fun)
    return best, lowest


def ours(sets: Sequence[Points]) -> list[float]:
    fitted = fit_laws(sets, FitOptions(exponent="own"))
    laws = [(law.a, law.b, law.c, law.d) for law in fitted]
    assert all(admitted(law, points) for law, points in zip(laws, sets, strict=True))
    return [summed(law, one.compute, np.log(one.error)) for law, one in zip(laws, sets, strict=True)]


def compared(sets: Sequence[Points]) -> dict[str, Row]:
    """The results of all methods on all laws; the methods alternate."""
    rows = {name: Row() for name in (OURS, *RIVALS)}
    ours(sets[:BATCH])
    for first in range(0, len(sets), BATCH):
        some = sets[first : first + BATCH]
        for name, row in rows.items():
            begun = time.perf_counter()
            if name == OURS:
                row.sums += ours(some)
            else:
                found = [recipe(points, *RIVALS[name], first + place) for place, points in enumerate(some)]
                row.sums += [best for best, _ in found]
                row.outside += sum(lowest < best for best, lowest in found)
            row.seconds += time.perf_counter() - begun
    return rows


def resampled(sets: Sequence[Points], options: FitOptions, count: int) -> tuple[float, float]:
    """Seconds for fitting the resamples alone, and for everything from the points to the resamples."""
    begun = time.perf_counter()
    fitted = fit_laws(sets, options)
    drawn = [resample(points, law, count, seed)[0] for seed, (points, law) in enumerate(zip(sets, fitted, strict=True))]
    ready = time.perf_counter()
    fit_draws(sets, drawn, fitted, options)
    done = time.perf_counter()
    return done - ready, done - begun


def imported() -> float:
    """Seconds of a Python process that only imports `scipy.optimize`."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import scipy.optimize"], check=True)
    return time.perf_counter() - begun


def table_of(rows: dict[str, Row], count: int) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("method")
    for name in ("solved", "worst", "led outside", "ms a law", "ours is faster"):
        table.add_column(name, justify="right")
    lowest = np.min([row.sums for row in rows.values()], 0)
    for name, row in rows.items():
        ratio = np.array(row.sums) / lowest
        table.add_row(
            name,
            f"{int((ratio <= 1 + NEAR).sum())}/{count}",
            f"{ratio.max():.4g} x",
            f"{row.outside}",
            f"{row.seconds / count * 1000:.3g}",
            f"{row.seconds / rows[OURS].seconds:,.0f} x",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--laws", type=int, default=200, help="how many laws all methods fit")
    parser.add_argument("--resamples", type=int, default=1000, help="of each of nine laws")
    parser.add_argument("--seed", type=int, default=0, help="of the first law")
    asked = parser.parse_args()
    sets = [synthetic(seed) for seed in range(asked.seed, asked.seed + asked.laws)]
    rows = compared(sets)
    console = Console(highlight=False, width=110)
    console.print(table_of(rows, len(sets)))
    recipes = rows["BFGS, 32 starts"].seconds / len(sets)
    each, shared = [synthetic(seed) for seed in range(BATCH)], [synthetic(seed, 0.5) for seed in range(BATCH)]
    table = Table(box=None, padding=(0, 2))
    table.add_column(f"{BATCH} laws, {asked.resamples} resamples each")
    for name in ("ms a resample", "BFGS, 32 starts", "s in all", "import scipy.optimize"):
        table.add_column(name, justify="right")
    for name, some, options in (
        ("an exponent each", each, FitOptions(exponent="own")),
        ("one for all laws", shared, FitOptions(exponent="pooled")),
    ):
        # Alternate, and use the shortest of three times, which is affected least by other load.
        tries = [(*resampled(some, options, asked.resamples), imported()) for _ in range(3)]
        alone, whole, python = (min(column) for column in zip(*tries, strict=True))
        one = alone / BATCH / asked.resamples
        table.add_row(
            name,
            f"{one * 1000:.3f}",
            f"{recipes / one:,.0f} x",
            f"{whole:.2f}",
            f"{whole / python:.1f} x of {python:.2f} s",
        )
    console.print()
    console.print(table)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\n  Python {sys.version.split()[0]}, numpy {np.__version__}, {os.cpu_count()} cores, load {load:.1f}")


if __name__ == "__main__":
    main()
