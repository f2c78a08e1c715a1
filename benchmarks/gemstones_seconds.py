"""Compares plans that take the least compute with plans that take the least time, on measured seconds per step.

    python benchmarks/gemstones_seconds.py wandb_df_for_fitting_hot_100b+_477.jsonl [--any-way]

The file comes from Gemstones (McLeish et al. 2025, github.com/mcleish7/gemstone-scaling-laws): 22 language models of
different width and depth, with the seconds per step of each run and the number of nodes that it ran on. Seconds are
counted for one node: those of a step times the nodes. FLOPs = 6 N D. One law is fitted to each model, with a shared
exponent, and plans switch between all models at the errors that both have reached; width and depth only grow, unless
`--any-way` is given. Nobody trained these plans: switches are taken to be free.

For each target both plans are shown, then the best fixed models by compute and by time. For each budget of time, the
error that the plans reach. The exit code is 1 if a plan is worse in its own unit than the other one.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from holdout import gemstones, laws_of
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law
from shapeflow.ir.route import Problem
from shapeflow.ir.seconds_table import load_seconds
from shapeflow.ir.timing import Timing
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.traversals.envelope import along, entry
from shapeflow.traversals.steepest import Steepest

START = 3.6
TARGETS = (3.2, 3.0, 2.8, 2.65, 2.55)
HOURS = (30.0, 100.0, 300.0, 1000.0)
"""Budgets, in hours of one node."""


@attrs.frozen
class Planned:
    """A plan: its shapes with the error at which each is left, and what it takes."""

    shapes: tuple[Shape, ...]
    ends: tuple[float, ...]
    flops: float
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gemstones", type=Path)
    parser.add_argument("--any-way", action="store_true", help="width and depth may also shrink")
    arguments = parser.parse_args()
    console, laws = Console(width=130), laws_of(gemstones(arguments.gemstones), FitOptions())
    costs, timing = steps_of(arguments.gemstones)
    asked = problem(laws, costs, timing, arguments.any_way)
    paces = {shape: timing.steps[shape] / costs[shape] for shape in laws}
    slow, fast = max(paces, key=lambda shape: paces[shape]), min(paces, key=lambda shape: paces[shape])
    console.print(
        f"a FLOP of {name(slow)} takes {paces[slow] / paces[fast]:.3g} times as long as one of {name(fast)}\n"
    )
    good = to_targets(asked, console)
    return 0 if for_budgets(asked, console) and good else 1


def steps_of(path: Path) -> tuple[Mapping[Shape, float], Timing]:
    """FLOPs of a step of each model, and seconds of it on one node, read as a `.shape` file reads a table of them."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = {Shape.of(width=row["width"], depth=row["depth"]): row for row in reversed(rows)}
    costs = {shape: 6 * row["params_active_precise"] * row["tokens"] / row["step"] for shape, row in first.items()}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "seconds.csv")
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["width", "depth", "seconds per step"])
            for shape, row in first.items():
                writer.writerow([shape["width"], shape["depth"], row["seconds_per_step"] * row["num_nodes"]])
        return costs, load_seconds(table, {"width": True, "depth": True})


def problem(laws: Mapping[Shape, Law], costs: Mapping[Shape, float], timing: Timing, any_way: bool) -> Problem:
    def grows(before: Shape, after: Shape) -> bool:
        return all(after.number(axis) >= before.number(axis) for axis in ("width", "depth"))

    return Problem(
        candidates=tuple(laws),
        laws=laws,
        units={},
        start=START,
        target=None,
        budget=None,
        step_compute=costs,
        allowed=(lambda before, after: True) if any_way else grows,
        credit=lambda before, after: 1.0,
        spans={},
        step_seconds=timing.steps,
        one_way=frozenset() if any_way else frozenset(("width", "depth")),
        credits=(1.0, 1.0),
        previewed=False,
    )


def planned(asked: Problem) -> Planned:
    """The plan of a problem, with what its legs take by the laws."""
    report = Report()
    route = Steepest().route(asked, report)
    if route is None:
        raise Refused(*report.errors)
    flops, seconds, error = 0.0, 0.0, START
    shapes, ends = list[Shape](), list[float]()
    for leg in route.legs:
        law, pace = asked.laws[leg.shape], pace_of(asked, leg.shape)
        begin = entry(law, START) if not shapes else 0.0
        end = leg.until.error or asked.target
        if end is None:
            assert asked.budget is not None
            rest = asked.budget.value - seconds if asked.unit == "seconds" else (asked.budget.value - flops) * pace
            end = law.error(entry(law, error) + (rest / pace if shapes else rest / pace - begin))
        taken = begin + along(law, error, end)
        flops, seconds, error = flops + taken, seconds + taken * pace, end
        shapes.append(leg.shape)
        ends.append(end)
    return Planned(tuple(shapes), tuple(ends), flops, seconds)


def pace_of(asked: Problem, shape: Shape) -> float:
    assert asked.step_seconds is not None
    assert asked.step_compute is not None
    return asked.step_seconds[shape] / asked.step_compute[shape]


def to_targets(asked: Problem, console: Console) -> bool:
    """Print both plans to each target. Returns whether each is the best in its own unit."""
    table, good = Table("error", "least", "stages", title="to an error"), True
    for heading in ("switches", "FLOPs", "node-hours", "FLOPs against", "hours against"):
        table.add_column(heading, justify="right")
    for target in TARGETS:
        to = attrs.evolve(asked, target=target)
        by_flops, by_time = planned(to), planned(attrs.evolve(to, unit="seconds"))
        good &= by_flops.flops <= by_time.flops * (1 + 1e-9) and by_time.seconds <= by_flops.seconds * (1 + 1e-9)
        rows = [("compute", by_flops, by_time), ("time", by_time, by_flops)]
        rows += [("compute, fixed", _fixed(to, "compute"), by_flops), ("time, fixed", _fixed(to, "seconds"), by_time)]
        for least, one, other in rows:
            table.add_row(
                f"{target:g}", least, stages(one), str(len(one.shapes) - 1), f"{one.flops:.3g}",
                f"{one.seconds / 3600:,.0f}", f"{one.flops / other.flops:.3f}", f"{one.seconds / other.seconds:.3f}",
            )  # fmt: skip
        table.add_section()
    console.print(table)
    console.print("against: the other plan; for a fixed model, the plan of its unit\n")
    return good


def _fixed(asked: Problem, unit: str) -> Planned:
    """The model that reaches the target alone with the least of a unit."""
    assert asked.target is not None
    needs = {shape: asked.laws[shape].compute(asked.target) for shape in asked.candidates}
    paces = {shape: pace_of(asked, shape) for shape in needs}
    best = min(needs, key=lambda shape: needs[shape] * (paces[shape] if unit == "seconds" else 1.0))
    return Planned((best,), (asked.target,), needs[best], needs[best] * paces[best])


def for_budgets(asked: Problem, console: Console) -> bool:
    """Print what each plan reaches within a time: the plan by time, and the plan by compute to the same error."""
    table, good = Table("node-hours", "stages", title="within a time"), True
    for heading in ("error", "FLOPs", "hours of the plan by compute"):
        table.add_column(heading, justify="right")
    for hours in HOURS:
        one = planned(attrs.evolve(asked, unit="seconds", budget=Amount(3600 * hours, "seconds")))
        other = planned(attrs.evolve(asked, target=one.ends[-1]))
        good &= abs(one.seconds / (3600 * hours) - 1) < 1e-6 and one.seconds <= other.seconds * (1 + 1e-9)
        table.add_row(
            f"{hours:,.0f}", stages(one), f"{one.ends[-1]:.3f}", f"{one.flops:.3g}", f"{other.seconds / 3600:,.0f}"
        )
    console.print(table)
    return good


def stages(one: Planned) -> str:
    ends: Sequence[str] = [f" to {end:.3f}" for end in one.ends[:-1]]
    return ", ".join(name(shape) + end for shape, end in zip(one.shapes, [*ends, ""], strict=True))


def name(shape: Shape) -> str:
    return f"{shape['width']}x{shape['depth']}"


if __name__ == "__main__":
    sys.exit(main())
