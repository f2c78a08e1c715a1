"""Measures how well laws of real runs predict held-out compute, and which real curves do not follow a law.

    python benchmarks/holdout.py wandb_df_for_fitting_hot_100b+_477.jsonl [--falling val_loss_curves.csv]

The first file comes from Gemstones (McLeish et al. 2025, github.com/mcleish7/gemstone-scaling-laws): 22 language models
trained at a constant learning rate, FLOPs = 6 N D. For each model, laws are fitted to the first half of log compute and
predict the rest, with several variants of the fit. A factor is predicted over actual compute for the lowest errors.
Then laws are fitted to all points and their verdicts are shown, and five of them are used for a plan from error 3.6 to
2.65.

`--falling`: val_loss_curves.csv of modded-nanogpt (github.com/KellerJordan/modded-nanogpt) with the columns `record`,
`run`, `step`, `val_loss`. The learning rate falls to 0 in each run, so the fit of each record must be reported as not
reliable, from the curve alone.

The exit code is 1 if the default misses its goals, or a fit to a falling learning rate is reported as reliable.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fitting.from_points import laws_of_points
from shapeflow.laws.fitting.holdout import hold_out
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.logs.points import Point, Points, select
from shapeflow.traversals.envelope import greedy, total

ERROR, FACTOR = 0.0015, 1.15
"""Goals of the default fit: the medians over the shapes of the mean error and of the factor."""
BINS = 60
PLANNED = ((256, 23), (512, 14), (768, 45), (1280, 36), (2048, 27))
START, TARGET = 3.6, 2.65
TOTAL, SWITCHES = 5.61698849e20, (3.42817516, 3.00865058, 2.76997540)
"""The total compute and the switches of a plan by laws with separate exponents that another program fitted to these
five shapes."""

Runs = Mapping[Shape, Sequence[Sequence[Point]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gemstones", type=Path)
    parser.add_argument("--falling", type=Path)
    arguments = parser.parse_args()
    console, runs = Console(width=120), gemstones(arguments.gemstones)
    good = variants(runs, console)
    judged(laws_of(runs, FitOptions()), console)
    planned(runs, console)
    if arguments.falling:
        good &= refused(falling(arguments.falling), console)
    return 0 if good else 1


def gemstones(path: Path) -> Runs:
    found: defaultdict[Shape, list[Point]] = defaultdict(list)
    for line in path.read_text().splitlines():
        row = json.loads(line)
        compute = 6.0 * row["params_active_precise"] * row["tokens"]
        found[Shape.of(width=row["width"], depth=row["depth"])].append(Point(compute, row["final_loss"], row["step"]))
    return {shape: [points] for shape, points in sorted(found.items())}


def falling(path: Path) -> Runs:
    """The runs by record; each record is one shape. Compute is counted in steps, since all steps of a record have the
    same cost."""
    found: defaultdict[Shape, defaultdict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            step = float(row["step"])
            if step > 0:
                point = Point(step * 1e15, float(row["val_loss"]), step)
                found[Shape.of(record=row["record"])][row["run"]].append(point)
    return {record: list(each.values()) for record, each in found.items()}


def sets_of(runs: Runs, drop: int) -> dict[Shape, Points]:
    return {shape: select(each, Amount(float(drop), "number"), BINS)[0] for shape, each in runs.items()}


def laws_of(runs: Runs, options: FitOptions) -> Mapping[Shape, Law]:
    sets = sets_of(runs, 2)
    about = Provenance(source="fit", metric="loss", convention="flops", unit="nats")
    return laws_of_points(sets, dict.fromkeys(sets, about), options, 400).laws


def variants(runs: Runs, console: Console) -> bool:
    """Print the table of variants. Returns whether the default meets its goals."""
    table = Table("offset", "exponent", "dropped", title="first half fitted, rest predicted: medians over the shapes")
    for heading in ("mean error", "last error", "factor", "quartiles", "never", "within 1.5"):
        table.add_column(heading, justify="right")
    good = False
    for offset, exponent, drop in product(("signed", "nonnegative"), ("pooled", "own"), (2, 0)):
        sets = list(sets_of(runs, drop).values())
        options = FitOptions(offset=offset, exponent=exponent)  # type: ignore[arg-type]
        held = [half.holdout for half in hold_out(sets, options) if half is not None]
        factors = np.array([np.inf if one.factor is None else one.factor for one in held])
        low, middle, high = np.quantile(factors, [0.25, 0.5, 0.75], method="nearest")
        near = int(((factors > 1 / 1.5) & (factors < 1.5)).sum())
        error, last = (float(np.median([getattr(one, name) for one in held])) for name in ("error", "last"))
        never = int(np.isinf(factors).sum())
        table.add_row(
            offset, exponent, str(drop), f"{100 * error:.3f}%", f"{100 * last:+.3f}%", f"{np.median(factors):.3f}",
            f"{low:.2f} to {high:.2f}", f"{never} of {len(held)}", str(near),
        )  # fmt: skip
        if (offset, exponent, drop) == ("signed", "pooled", 2):
            good = error <= ERROR and middle <= FACTOR and never == 0
    console.print(table)
    console.print(f"goals of the first line: {100 * ERROR:g}%, {FACTOR:g}, none: {'met' if good else 'MISSED'}\n")
    return good


def judged(laws: Mapping[Shape, Law], console: Console) -> None:
    """Print the laws of all points with the default fit: size and autocorrelation of the residuals, and the verdict."""
    table = Table("shape", "b", "c", "rms", "autocorrelation", "factor", "verdict", title="laws of all points")
    for shape, law in laws.items():
        about = law.provenance
        factor = "-" if about.holdout is None else f"{about.holdout.factor or np.inf:.2f}"
        said = "\n".join(about.verdict) or "supported"
        size, alike = f"{100 * (about.rms or 0):.3f}%", f"{about.autocorrelation or 0:.2f}"
        name = " x ".join(str(shape[axis]) for axis in reversed(list(shape)))
        table.add_row(name, f"{law.b:.3f}", f"{law.c:.4f}", size, alike, factor, said)
    console.print(table)


def planned(runs: Runs, console: Console) -> None:
    """Print the cheapest route along five laws, with separate exponents and with a shared one."""
    table = Table("exponent", "total", "off by", "switches at", "off by at most", title="a plan of five shapes")
    five = {Shape.of(width=width, depth=depth): runs[Shape.of(width=width, depth=depth)] for width, depth in PLANNED}
    every = laws_of(runs, FitOptions())
    ways: dict[str, Sequence[Law]] = {
        "own": list(laws_of(five, FitOptions(exponent="own")).values()),
        "one for the five": list(laws_of(five, FitOptions()).values()),
        "one for all 22": [every[shape] for shape in five],
    }
    table.add_row("another program", f"{TOTAL:.5g}", "", ", ".join(f"{error:.4f}" for error in SWITCHES), "")
    for name, laws in ways.items():
        way = greedy(laws, START, TARGET)
        spent, at = total(laws, way), [stretch.first for stretch in way[1:]]
        alike = len(at) == len(SWITCHES)
        off = max(abs(a / b - 1) for a, b in zip(at, SWITCHES, strict=True)) if alike else np.nan
        switches = ", ".join(f"{error:.4f}" for error in at)
        table.add_row(name, f"{spent:.5g}", f"{100 * (spent / TOTAL - 1):+.2f}%", switches, f"{100 * off:.2f}%")
    console.print(table)


def refused(runs: Runs, console: Console) -> bool:
    """Print why the fit of each record with a falling learning rate is not reliable. Returns whether every record has a
    reason."""
    console.print("\ncurves whose learning rate falls to 0, each by itself:")
    laws = laws_of(runs, FitOptions(exponent="own"))
    for record, law in laws.items():
        about = law.provenance
        said = "; ".join(about.verdict) or "NOT REFUSED"
        console.print(f"  {record['record']}: {about.points} points of {len(runs[record])} runs: {said}")
    return all(law.provenance.verdict for law in laws.values())


if __name__ == "__main__":
    sys.exit(main())
