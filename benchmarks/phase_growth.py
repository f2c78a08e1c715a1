"""How much does growing the width save on random features: what the laws predict, and what two ways to grow achieve?

    python benchmarks/phase_growth.py [--seeds 6]

Two tables. The first is of power laws, A r^-p + C d^-q after r steps at any width d: the compute of the cheapest route
divided by that of the best fixed width, by a formula and by `steepest` along many widths.

The second is of random features, with an own matrix W for each seed: widths 16 to 512 of 2048 features, batch 1, step
size 0.5 / tr D. The target is in the middle of the losses at which width 256 is the best fixed one. `predicted` is the
compute of the route of `steepest` by the laws, divided by that of the best fixed width. `append` and `project` are the
compute that the route really takes, from exact moments. Every stage ends at its planned loss. `append` adds features
with parameters of 0 and keeps the predictions, `project` finds the parameters that predict best what the narrow model
predicts, which does not keep them. The compute of the projection is not counted. Below 1 is a saving.

The exit code is 1 unless the formula is right to 0.001, the mean of `project` is within 0.15 of the prediction in
phases Ia and II, and that of `append` is above 1.5 everywhere.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

from phase_routes import ABOUT, POINTS, base_of, candidate, named, task
from shapeflow.ir.law import Law
from shapeflow.ir.noise import Floats
from shapeflow.ir.random_features import projection
from shapeflow.traversals.envelope import greedy, total
from shapeflow_exact.moments import Basis, Moments, moved

SLOPES = ((0.75, 1.2), (0.28, 0.34), (1.0, 1.0))
"""(p, q) of power laws."""
WIDTHS, FEATURES = (16, 32, 64, 128, 256, 512), 2048
STEP = 0.5
"""Step size times the summed variance of the data."""
AGREES = ((0.8, 0.3), (1.0, 0.7))
"""Phases Ia and II, in which growing by projection does what the laws predict."""
FORMULA, NEAR, FAILS = 1e-3, 0.15, 1.5


@attrs.frozen
class Ratios:
    """Compute of the adaptive width divided by that of the best fixed one, at the same expected loss."""

    predicted: float
    append: float
    project: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = parser.parse_args().seeds
    good = power_laws()
    begun, table = time.monotonic(), Table(box=None, padding=(0, 2))
    for heading in ("phase (alpha, beta)", "predicted", "append", "project"):
        table.add_column(heading, justify="right")
    for alpha, beta in POINTS:
        found = [ratios(alpha, beta, seed) for seed in range(seeds)]
        predicted, append, project = np.array([attrs.astuple(one) for one in found]).T
        table.add_row(named(alpha, beta), *(spread(each) for each in (predicted, append, project)))
        good &= float(append.mean()) > FAILS
        good &= (alpha, beta) not in AGREES or abs(float(project.mean() - predicted.mean())) < NEAR
    Console(width=110).print(table)
    print(f"mean of {seeds} matrices, and least to largest; {time.monotonic() - begun:.0f} s")
    return 0 if good else 1


def power_laws() -> bool:
    """Print the first table. Whether the formula is right."""
    table, good = Table(box=None, padding=(0, 2)), True
    for heading in ("p", "q", "formula", "steepest"):
        table.add_column(heading, justify="right")
    for p, q in SLOPES:
        formula, found = ceiling(p, q), along_widths(p, q)
        table.add_row(f"{p:g}", f"{q:g}", f"{formula:.4f}", f"{found:.4f}")
        good &= abs(formula - found) < FORMULA
    Console(width=110).print(table)
    return good


def ceiling(p: float, q: float) -> float:
    """g(1/p + 1/q) / g(1/p) with g(y) = (1 + 1/y)^(y + 1)."""

    def g(y: float) -> float:
        return math.exp((y + 1) * math.log1p(1 / y))

    return g(1 / p + 1 / q) / g(1 / p)


def along_widths(p: float, q: float) -> float:
    """The same ratio, by `steepest` along a fine grid of widths, at a loss that is best at a width of the grid far from
    its ends."""
    widths = np.geomspace(1.0, 10 ** (4 / q), 240).tolist()
    laws = [Law(d**p, p, d**-q, 0.0, ABOUT) for d in widths]
    target = 30 * widths[-1] ** -q
    return total(laws, greedy(laws, 1.0, target)) / min(law.compute(target) for law in laws)


def ratios(alpha: float, beta: float, seed: int, widths: tuple[int, ...] = WIDTHS, features: int = FEATURES) -> Ratios:
    """The ratios for the matrix W of a seed. The second largest width is the best fixed one at the target."""

    def appended(moments: Moments, to: Basis) -> Moments:
        return moved(moments, to, append(len(moments.mean), len(to.target)))

    def projected(moments: Moments, to: Basis) -> Moments:
        return moved(moments, to, projection(seed, features, alpha, len(moments.mean), len(to.target)))

    bases = [base_of(alpha, beta, features, seed, width) for width in widths]
    asked = task([candidate(one, STEP * unit, 1) for one, unit in bases], len(widths) - 2)
    assert asked is not None, f"width {widths[-2]} is never the best"
    route, predicted = asked.route()
    spent = (predicted, asked.spent(route, appended), asked.spent(route, projected))
    return Ratios(*(each / asked.static for each in spent))


def append(old: int, to: int) -> Floats:
    """(to, old): new features get parameters of 0, and old parameters are scaled as the entries of W shrink."""
    return np.asarray(math.sqrt(to / old) * np.eye(to, old))


def spread(values: Floats) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} - {values.max():.2f})"


if __name__ == "__main__":
    sys.exit(main())
