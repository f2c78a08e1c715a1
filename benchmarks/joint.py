"""Compares the fit of a joint law with the recipe of Hoffmann et al. (2022), L-BFGS from a grid of starts, and with the
grid search of the package `chinchilla` from PyPI, if it is installed.

    OMP_NUM_THREADS=1 python benchmarks/joint.py [FILE.csv] [--starts 576] [--drop 0] [--grid 3]

Without a file, a ladder of 245 runs is made from a known law with noise. FILE is a table of `Model Size`, `Training
FLOP` and `loss`, as extracted from a figure of Hoffmann et al. by Besiroglu et al. 2024 (arXiv 2404.10102); tokens are
FLOP / (6 size). `--drop 5` leaves out the five highest losses, as that paper does.

Both methods minimise the sum of the Huber loss of log residuals with delta 1e-3, in the same process. The grid of the
paper has 4,500 starts; `--starts` takes every n-th of them. The bootstrap of shapeflow is 400 resamples of whole runs;
the rival's bootstrap is one descent for each of 20 of them, from its own optimum.

The package `chinchilla` (github.com/kyo-takano/chinchilla) descends by BFGS from every cell of a grid, in as many
processes as there are CPU cores; its pictures are left out. `--grid` is the number of values of each of its five
parameters, between those of the example in its documentation, which has 5.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import itertools
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from shapeflow.ir.joint import NAMES, PerToken
from shapeflow.laws.joint.fit import joint_of
from shapeflow.laws.joint.solver import JointPoints, fit_joint, huber, predicted
from shapeflow.laws.logs.points import Floats

DELTA = 1e-3
TRUTH = np.array([1.82, 482.0, 2085.0, 0.348, 0.366])
GRID = (
    (0.0, 0.5, 1.0, 1.5, 2.0),
    (0.0, 0.5, 1.0, 1.5, 2.0),
    (-1.0, -0.5, 0.0, 0.5, 1.0),
    range(0, 30, 5),
    range(0, 30, 5),
)
"""Starts of alpha, beta, e, a and b (Hoffmann et al. 2022, section D.2)."""
REDRAWN = 20
PEER = {"E": (1.0, 2.0), "a": (1.0, 10.0), "b": (1.0, 10.0), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
"""First and last start of each parameter in the grid of `chinchilla`; `a` and `b` are logs of A and B."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="a table of runs; without it, synthetic runs")
    parser.add_argument("--starts", type=int, default=576, help="number of starts of the grid")
    parser.add_argument("--drop", type=int, default=0, help="leave out this number of the highest losses")
    parser.add_argument("--grid", type=int, default=3, help="values of each parameter in the grid of `chinchilla`")
    options = parser.parse_args()
    points = synthetic() if options.file is None else read(options.file)
    kept = np.argsort(points.error, kind="stable")[: len(points.error) - options.drop]
    points = JointPoints(points.size[kept], points.tokens[kept], points.error[kept], np.arange(len(kept)))
    print(f"{len(kept)} runs")

    begun = time.perf_counter()
    ours = fit_joint(points, DELTA)
    seconds = time.perf_counter() - begun
    report("shapeflow", ours, points, seconds)
    begun = time.perf_counter()
    law = joint_of(points, PerToken(), DELTA, 400)
    print(f"  400 resamples and a test on size: {time.perf_counter() - begun:.2f} s")
    for name, (low, high) in law.intervals().items():
        print(f"    {name:16}{low:.4g} to {high:.4g}")
    if importlib.util.find_spec("chinchilla") is None:
        print("chinchilla: not installed, not compared")
    elif options.grid > 0:
        begun = time.perf_counter()
        found = peer(points, options.grid)
        taken = time.perf_counter() - begun
        report(f"chinchilla from {options.grid**5} starts, {os.cpu_count()} processes", found, points, taken)
        print(f"  {taken / seconds:.0f} times the seconds of shapeflow")

    begun = time.perf_counter()
    theta, count = grid(points, options.starts)
    taken = time.perf_counter() - begun
    report(f"L-BFGS from {count} starts", np.array([*np.exp(theta[:3]), *theta[3:]]), points, taken)
    begun = time.perf_counter()
    rng = np.random.default_rng(0)
    for _ in range(REDRAWN):
        index = rng.integers(0, len(kept), len(kept))
        again = JointPoints(points.size[index], points.tokens[index], points.error[index], points.run)
        descend(again, theta)
    print(f"  a resample, one start: {(time.perf_counter() - begun) / REDRAWN:.3f} s")


def synthetic() -> JointPoints:
    """A ladder like that of Hoffmann et al.: 245 runs of 50 sizes, 57 M to 16 G."""
    rng = np.random.default_rng(0)
    size = np.repeat(np.geomspace(5.7e7, 1.6e10, 49), 5)
    tokens = size * np.tile(np.geomspace(2, 200, 5), 49)
    error = predicted(TRUTH, size, tokens) * np.exp(rng.normal(0, 0.005, len(size)))
    return JointPoints(size, tokens, error, np.arange(len(size)))


def read(path: Path) -> JointPoints:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    size, compute, loss = (
        np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss")
    )
    return JointPoints(size, compute / 6 / size, loss, np.arange(len(rows)))


def grid(points: JointPoints, count: int) -> tuple[Floats, int]:
    """The best optimum of descents from evenly chosen starts of the grid, and their number."""
    every = list(itertools.product(*GRID))
    starts = every[:: max(len(every) // count, 1)]
    found = [descend(points, np.array([e, a, b, alpha, beta])) for alpha, beta, e, a, b in starts]
    theta, _ = min(found, key=lambda each: each[1])
    return theta, len(starts)


def peer(points: JointPoints, count: int) -> Floats:
    """The optimum of the package `chinchilla` with the same objective."""
    package, metrics, pandas = (importlib.import_module(n) for n in ("chinchilla", "chinchilla._metrics", "pandas"))
    starts = {name: np.linspace(*ends, count) for name, ends in PEER.items()}
    with tempfile.TemporaryDirectory() as folder:
        loss = partial(metrics.log_huber, delta=DELTA)
        model: Any = package.Chinchilla(folder, param_grid=starts, loss_fn=loss, log_level=50)
        columns = {"C": 6 * points.size * points.tokens, "N": points.size, "D": points.tokens, "loss": points.error}
        model.database.df = pandas.DataFrame(columns)
        model.visualizer.optim = lambda *_, **__: None
        model.fit()
    return np.array([model.E, model.A, model.B, model.alpha, model.beta])


def descend(points: JointPoints, begin: Floats) -> tuple[Floats, float]:
    log_size, log_tokens, log_error = np.log(points.size), np.log(points.tokens), np.log(points.error)

    def objective(theta: Floats) -> float:
        e, a, b, alpha, beta = theta
        with np.errstate(all="ignore"):
            law = np.logaddexp(np.logaddexp(a - alpha * log_size, b - beta * log_tokens), e)
        total = float(huber(law - log_error, DELTA).sum())
        return total if np.isfinite(total) else 1e10

    result = minimize(objective, begin, method="L-BFGS-B")
    return np.asarray(result.x), float(result.fun)


def report(name: str, law: Floats, points: JointPoints, seconds: float) -> None:
    total = huber(np.log(predicted(law, points.size, points.tokens) / points.error), DELTA).sum()
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in zip(NAMES, law, strict=True))
    print(f"{name}: {numbers}; sum {total:.8f}, {seconds:.3f} s")


if __name__ == "__main__":
    main()
