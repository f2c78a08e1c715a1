"""Compares the fit of a joint law with the recipe of Hoffmann et al. (2022): L-BFGS from a grid of starts.

    OMP_NUM_THREADS=1 python benchmarks/joint.py [FILE.csv] [--starts 576] [--drop 0]

Without a file, a ladder of 245 runs is made from a known law with noise. FILE is a table of `Model Size`, `Training
FLOP` and `loss`, as extracted from a figure of Hoffmann et al. by Besiroglu et al. 2024 (arXiv 2404.10102); tokens are
FLOP / (6 size). `--drop 5` leaves out the five highest losses, as that paper does.

Both methods minimise the sum of the Huber loss of log residuals with delta 1e-3, in the same process. The grid of the
paper has 4,500 starts; `--starts` takes every n-th of them. The bootstrap of shapeflow is 400 resamples of whole runs;
the rival's bootstrap is one descent for each of 20 of them, from its own optimum.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="a table of runs; without it, synthetic runs")
    parser.add_argument("--starts", type=int, default=576, help="number of starts of the grid")
    parser.add_argument("--drop", type=int, default=0, help="leave out this number of the highest losses")
    options = parser.parse_args()
    points = synthetic() if options.file is None else read(options.file)
    kept = np.argsort(points.error, kind="stable")[: len(points.error) - options.drop]
    points = JointPoints(points.size[kept], points.tokens[kept], points.error[kept], np.arange(len(kept)))
    print(f"{len(kept)} runs")

    begun = time.perf_counter()
    ours = fit_joint(points, DELTA)
    report("shapeflow", ours, points, time.perf_counter() - begun)
    begun = time.perf_counter()
    law = joint_of(points, PerToken(), DELTA, 400)
    print(f"  400 resamples and a test on size: {time.perf_counter() - begun:.2f} s")
    for name, (low, high) in law.intervals().items():
        print(f"    {name:9}{low:.4g} to {high:.4g}")

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
