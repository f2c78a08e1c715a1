"""When to raise the batch on random features: the crossing rule of the laws against the best switches.

    python benchmarks/phase_batch.py [--seeds 3]

A model of width 256 is trained with batches 1 to 128, and the batch may be raised during training. The step size times
the batch is always 0.9 / tr D, so a larger batch has less noise and costs more compute per step. Batches at which SGD
is not stable are left out. All compute is divided by that of the best fixed batch at the same expected loss. The target
is in the middle of the losses at which `best fixed` is the best one: 2 is an early target, 8 a late one.

`predicted` is the route of `steepest` along the laws of the batches, and `rule` the compute that it really takes, from
exact moments: a stage ends at its planned loss. `1 switch` and `2 switches` are the least compute of a schedule with at
most that many, found by search over batches and numbers of steps.

The second table shows schedules of the first matrix. `4 at 2.2` is a raise to batch 4 where the loss is 2.2 times that
of the target.

The exit code is 1 if a schedule of the search costs more than the rule.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Sequence

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

from phase_routes import POINTS, Task, base_of, candidate, named, task
from shapeflow_exact.moments import diverges, loss, start

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
WIDTH, FEATURES, STEP = 256, 2048, 0.9
BEST = (2, 8)
"""The best fixed batches of an early and a late target."""
TRIED = 24
"""Lengths of a stage that the search begins with."""
FINEST = 1.02
"""The search ends when a change of a length by this factor does not help."""
KEPT = 6
"""Pairs of batches that the search improves."""


@attrs.frozen(eq=False)
class Schedule:
    """Batches in order, as indices of candidates, and the steps of all stages but the last."""

    order: tuple[int, ...]
    steps: tuple[int, ...]
    compute: float
    """FLOPs to the target; infinite if the last batch never reaches it."""


@attrs.frozen
class Row:
    """The compute of schedules, divided by that of the best fixed batch, and the raises of two of them."""

    predicted: float
    rule: float
    one: float
    two: float
    rule_raises: str
    two_raises: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    begun, good = time.monotonic(), True
    means = table_of("predicted", "rule", "1 switch", "2 switches")
    raises = table_of("raises of the rule", "of 2 switches")
    for (alpha, beta), best in itertools.product(POINTS, BEST):
        rows = [row(alpha, beta, seed, best) for seed in range(seeds)]
        mean = np.mean([attrs.astuple(one)[:4] for one in rows], axis=0)
        means.add_row(named(alpha, beta), str(best), *(f"{each:.2f}" for each in mean))
        raises.add_row(named(alpha, beta), str(best), rows[0].rule_raises, rows[0].two_raises)
        good &= all(one.two < one.rule for one in rows)
    for table in (means, raises):
        Console(width=120).print(table)
    print(f"mean of {seeds} matrices; {time.monotonic() - begun:.0f} s")
    return 0 if good else 1


def table_of(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2))
    for heading in ("phase (alpha, beta)", "best fixed", *headings):
        table.add_column(heading, justify="right")
    return table


def row(alpha: float, beta: float, seed: int, best: int, batches: Sequence[int] = BATCHES, width: int = WIDTH) -> Row:
    """The ratios for the matrix W of a seed, at a target at which `best` is the best fixed batch."""
    basis, unit = base_of(alpha, beta, FEATURES, seed, width)
    sizes = {batch: STEP * unit / batch for batch in batches}
    candidates = [candidate(basis, step, batch) for batch, step in sizes.items() if not diverges(basis, step, batch)]
    asked = task(candidates, [one.batch for one in candidates].index(best))
    assert asked is not None, f"batch {best} is never the best"
    route, predicted = asked.route()
    fixed = min((timed(asked, (index,), ()) for index in range(len(candidates))), key=_compute)
    once = raised_once(asked)
    best_once = min(fixed, once[0], key=_compute)
    best_twice = min(best_once, raised_twice(asked, once), key=_compute)
    stages = [(part.candidate.batch, part.until) for part in route]
    return Row(
        predicted / asked.static,
        asked.spent(route) / asked.static,
        best_once.compute / asked.static,
        best_twice.compute / asked.static,
        raises(asked, stages),
        raises(asked, stages_of(asked, best_twice)),
    )


def raised_once(asked: Task) -> list[Schedule]:
    """The cheapest schedules with one switch, ascending, of different pairs of batches."""
    pairs = itertools.combinations(range(len(asked.candidates)), 2)
    tried = sorted((shortest(asked, pair, (), 0) for pair in pairs), key=_compute)
    return sorted((improved(asked, one) for one in tried[:KEPT]), key=_compute)


def raised_twice(asked: Task, once: Sequence[Schedule]) -> Schedule:
    """The cheapest schedule with two switches: another batch before, between or after those of a schedule with one."""
    found = []
    for first, other in itertools.product(once, range(len(asked.candidates))):
        if other not in first.order:
            order = tuple(sorted((*first.order, other)))
            place = min(order.index(other), len(first.steps))
            found.append(shortest(asked, order, first.steps, place))
    return min((improved(asked, one) for one in sorted(found, key=_compute)[:KEPT]), key=_compute)


def shortest(asked: Task, order: tuple[int, ...], others: tuple[int, ...], place: int) -> Schedule:
    """The cheapest schedule in this order, over the lengths of the stage at a place. `others` are the lengths of the
    other stages but the last."""
    most = asked.static / asked.candidates[order[place]].step_compute
    lengths = np.unique(np.round(np.geomspace(1.0, most, TRIED))).astype(int).tolist()
    return min((timed(asked, order, (*others[:place], one, *others[place:])) for one in lengths), key=_compute)


def improved(asked: Task, found: Schedule) -> Schedule:
    """The schedule after changing one length at a time, by ever smaller factors."""
    factor = 2.0
    while factor > FINEST:
        moved = []
        for place, by in itertools.product(range(len(found.steps)), (1 / factor, factor)):
            steps = list(found.steps)
            steps[place] = max(1, round(steps[place] * by))
            moved.append(timed(asked, found.order, tuple(steps)))
        better = min(moved, key=_compute)
        if better.compute < found.compute:
            found = better
        else:
            factor = math.sqrt(factor)
    return found


def timed(asked: Task, order: tuple[int, ...], steps: tuple[int, ...]) -> Schedule:
    """A schedule with its compute. One that passes the target before its last stage counts in full."""
    moments, total = start(asked.candidates[0].basis), 0.0
    for index, length in zip(order, steps, strict=False):
        one = asked.candidates[index]
        moments, total = one.after(moments, length), total + length * one.step_compute
    last = asked.candidates[order[-1]]
    left = last.steps(moments, asked.target)
    return Schedule(order, steps, math.inf if left is None else total + left * last.step_compute)


def stages_of(asked: Task, schedule: Schedule) -> list[tuple[int, float]]:
    """Batch and last loss of each stage."""
    moments, found = start(asked.candidates[0].basis), []
    for index, length in zip(schedule.order, schedule.steps, strict=False):
        moments = asked.candidates[index].after(moments, length)
        found.append((asked.candidates[index].batch, loss(moments)))
    return [*found, (asked.candidates[schedule.order[-1]].batch, asked.target)]


def raises(asked: Task, stages: Sequence[tuple[int, float]]) -> str:
    """Where each stage after the first begins, in words."""
    places = [f"{batch} at {until / asked.target:.2g}" for (_, until), (batch, _) in itertools.pairwise(stages)]
    return f"{stages[0][0]}; " + ", ".join(places) if places else str(stages[0][0])


def _compute(schedule: Schedule) -> float:
    return schedule.compute


if __name__ == "__main__":
    sys.exit(main())
