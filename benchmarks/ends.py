"""Predicts the ends of long runs from those of short ones, by laws over ends.

    python benchmarks/ends.py FILE.jsonl [--leave-out 2560x8,3072x12]

FILE has a line for each run: `width`, `depth`, `params_active_precise`, `tokens` and `final_loss`, as
`wandb_df_for_fitting_cool_end.jsonl` of the Gemstones (McLeish et al. 2025, github.com/mcleish7/gemstone-scaling-laws).
For each number of tokens up to which runs are fitted: the mean absolute error and the mean error of the predicted ends
of longer runs, the error at the longest, in 0.001 nats, and the share of them within the 90% interval.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fitting.ends import laws_of_ends
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.logs.points import Floats, Points

LIMITS = (34e9, 45e9, 67e9)
ABOUT = Provenance(source="fit", metric="loss", convention="flops", learning_rate="annealed")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the ends of runs")
    parser.add_argument("--leave-out", default="", help="shapes to leave out, as WIDTHxDEPTH, separated by commas")
    options = parser.parse_args()
    runs = read(options.file, set(options.leave_out.split(",")))
    longest = max(float(each[:, 0].max()) for each in runs.values())
    for limit in LIMITS:
        sets = {}
        for name, each in runs.items():
            short = each[each[:, 0] < limit]
            sets[Shape.of({"shape": name})] = Points(short[:, 1], short[:, 2], np.arange(len(short)))
        found = laws_of_ends(sets, dict.fromkeys(sets, ABOUT), FitOptions(), 400)
        missed, last, within = [], [], []
        for shape, law in found.laws.items():
            for tokens, compute, loss in runs[str(shape["shape"])]:
                if tokens > limit:
                    missed.append(1e3 * (law.error(compute) - loss))
                    within.append(inside(law, compute, loss))
                    last += [abs(missed[-1])] if tokens > 0.99 * longest else []
        print(
            f"{len(sets)} shapes, up to {limit:.3g} tokens: mean error {np.mean(np.abs(missed)):.2f}, bias "
            f"{np.mean(missed):+.2f}, at {longest:.3g} tokens {np.mean(last):.2f}; within {np.mean(within):.0%}"
        )


def read(path: Path, left_out: set[str]) -> dict[str, Floats]:
    """Shape -> rows of (tokens, FLOPs, loss), in order of tokens."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, tokens = f"{row['width']}x{row['depth']}", float(row["tokens"])
        if name not in left_out:
            found[name].append((tokens, 6 * row["params_active_precise"] * tokens, row["final_loss"]))
    return {name: np.array(sorted(rows)) for name, rows in found.items()}


def inside(law: Law, compute: float, loss: float) -> bool:
    low, high = np.quantile(law.draws[:, 0] * compute ** -law.draws[:, 1] + law.draws[:, 2], [0.05, 0.95])
    return bool(low <= loss <= high)


if __name__ == "__main__":
    main()
