"""Writes exact losses of random features of several widths, with noise, as logs of runs.

    python benchmarks/phase_curves.py ALPHA BETA FILE.csv

`python benchmarks/phase_curves.py 1 0.7 examples/laws/random_features.csv` made that file: phase II.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from shapeflow.laws.random_features.theory import Theory

WIDTHS = tuple(2**power for power in range(6, 13))
STEPS, POINTS = (1.0, 1e7), 60
NOISE = 0.01
"""Standard deviation of the log loss from point to point."""


def rows(alpha: float, beta: float, seed: int = 0, noise: float = NOISE) -> list[tuple[int, int, int, float]]:
    """Width, step, compute and loss of every point. Compute as in the paper: batch x width x steps, with a batch of
    1."""
    rng, found = np.random.default_rng(seed), []
    steps = np.unique(np.round(np.geomspace(*STEPS, POINTS)))
    for width in WIDTHS:
        losses = Theory(alpha, beta).curve(width).loss(steps) * np.exp(noise * rng.standard_normal(len(steps)))
        found += [
            (width, int(step), int(step) * width, loss) for step, loss in zip(steps, losses.tolist(), strict=True)
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alpha", type=float)
    parser.add_argument("beta", type=float)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    with asked.file.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["width", "step", "compute", "loss"])
        writer.writerows((*numbers, f"{loss:.6g}") for *numbers, loss in rows(asked.alpha, asked.beta))


if __name__ == "__main__":
    main()
