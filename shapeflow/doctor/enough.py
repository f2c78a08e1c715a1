"""Which shapes have points enough for a law."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

from shapeflow.base.units import Amount
from shapeflow.doctor import names
from shapeflow.doctor.curves import Key
from shapeflow.doctor.facts import CurveFacts
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.points import LEAST, SMALL, select
from shapeflow.laws.logs.runs import Run

POINTS, DROPPED = 60, 2
"""The points of a law, and those that are left out at the start of each run, unless a setting says otherwise."""


@attrs.frozen
class Enough:
    """The curves of the shapes that have points enough, and the number of points of the others."""

    curves: Mapping[Key, Run]
    few: Mapping[tuple[str, ...], int]
    """Values on the axes -> the number of points at different compute that a fit would use."""


def drop_of(roles: Roles, facts: CurveFacts) -> Amount:
    """What the proposal leaves out at the start of each run."""
    if facts.warmup is not None and roles.step is not None and facts.warmup > 0:
        return Amount(float(f"{facts.warmup:.0f}"), "steps")
    return Amount(float(max(facts.early, DROPPED)), "number")


def enough_of(curves: Mapping[Key, Run], roles: Roles, facts: CurveFacts) -> Enough:
    """Tell shapes with points enough for a law from others, as a fit of the proposal does."""
    runs: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for (shape, _), run in curves.items():
        runs[shape].append(run)
    counts = {shape: _count(each, drop_of(roles, facts)) for shape, each in runs.items()}
    few = {shape: count for shape, count in counts.items() if count < LEAST}
    return Enough({key: run for key, run in curves.items() if key[0] not in few}, few)


def is_small(roles: Roles, facts: CurveFacts) -> bool:
    """Whether compute is less than any training run takes, so that it is in a unit that no name states."""
    return bool(roles.compute) and facts.compute[1] < SMALL


def _count(runs: Sequence[Run], drop: Amount) -> int:
    try:
        points, _ = select([list(run.points.values()) for run in runs], drop, POINTS)
    except ValueError:
        return 0
    return len(set(points.compute.tolist()))


def advice_of_few(enough: Enough, roles: Roles, facts: CurveFacts) -> Iterator[str]:
    """Yield why compute is of no use, and which shapes have too few points."""
    if is_small(roles, facts):
        yield (
            f"the longest run took {facts.compute[1]:.4g} FLOPs by `{roles.compute[0]}`, less than any training run: "
            "state the unit of the column, `compute_unit: 1 TFLOPs`"
        )
    if not enough.few or (not enough.curves and facts.points[1] < LEAST):
        # It is said of all runs that they are too short.
        return
    (shape, count), rest = next(iter(enough.few.items())), len(enough.few) - 1
    pairs = zip(roles.axes, shape, strict=True)
    called = ", ".join(f"{axis} {value} {names.axes()[axis].unit}".rstrip() for axis, value in pairs) or "all runs"
    others = f" and {rest} other shapes" if rest else ""
    left = "left out of the proposal" if enough.curves else "so nothing is proposed"
    yield f"{called}{others}: {count} points remain after the start of the runs, and a law needs {LEAST}: {left}"
