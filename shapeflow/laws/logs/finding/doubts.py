"""What else the column of steps may count: another column of steps rises at another rate, or one of times rises with
it.

A name alone does not say whether `step` counts updates of the optimizer, micro-batches, rows of the log or seconds.
Columns that rise together show it, up to a choice that a setting makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Literal

import attrs

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.values import counts_up, groups
from shapeflow.laws.logs.readers import Row, number

CLOSE = 0.02
"""Largest difference between the rises of two columns that count the same, as a share."""
STEADY = 0.1
"""Largest scatter of the ratio of two counters along a run: with more, they do not count in proportion."""
FEWEST = 5
"""Fewest rows that show how two columns rise together."""
SPAN = 20.0
"""Least rise of a column that is compared with a time: smaller ones agree by chance."""
UNITS: Mapping[str, float] = {"seconds": 1.0, "milliseconds": 1e-3, "minutes": 60.0, "hours": 3600.0}
"""Unit of a column of times -> the seconds in one."""
LOGGED = "_step"
"""The counter of W&B: calls of its logger, which are steps only if nothing better is there."""
LEAST_GAP = 5.0
"""Rises of a clock from row to row are at least this; smaller ones are those of a counter that skips some rows."""
SPREAD = 0.5
"""The rises of a clock differ by at most this share of their middle."""
OF_OPTIMIZER = {"optimizer", "optim", "optimiser", "opt", "update", "updates", "gradient", "grad", "sgd"}
"""Words of a column that counts updates of the optimizer whatever else is counted."""
OVERALL = {"global", "trainer"}
"""Words of the counter of a trainer, in addition to which others may be counted."""


@attrs.frozen
class Doubt:
    """Why the column of steps may count something else."""

    kind: Literal["steps", "time", "clock"]
    """Another column of steps, a column of times that rises with it, or rises that are irregular as those of a
    clock."""
    why: str
    """A clause that begins with what is seen."""
    other: str = ""
    """The column that shows it."""
    chosen: bool = False
    """Whether the names say which of the columns counts updates of the optimizer."""


def chosen_of(found: Sequence[str]) -> list[str]:
    """Return the columns of steps whose names say the most that they count updates of the optimizer."""

    def rank(name: str) -> int:
        parts = set(words.words(name))
        return 2 * (not parts.isdisjoint(OF_OPTIMIZER)) or int(not parts.isdisjoint(OVERALL))

    most = max(map(rank, found), default=0)
    return [name for name in found if rank(name) == most] if most else []


def doubt_of(
    columns: Mapping[str, Column], rows: Sequence[Row], step: str, others: Sequence[str], keys: Sequence[str]
) -> Doubt | None:
    """Return why the column of steps may count something else; None if nothing shows that. `others`: further columns of
    steps that change along runs; `keys`: the columns that identify a run."""
    runs = groups(rows, keys)
    for other in others:
        times = rise_of(runs, other, step)
        if times is not None and abs(times - 1) > CLOSE:
            best = chosen_of([step, *others])
            clear = step in best and other not in best
            return Doubt("steps", f"`{other}` counts steps, too, and rises {_times(times)} as fast", other, clear)
    for name, column in columns.items():
        may_be = words.is_time(name) if column.numeric else not column.constant
        if may_be and (unit := _unit_of(runs, step, name)) is not None:
            said = (
                f"it rises as `{name}` does" if unit == "seconds" else f"it rises by the seconds of `{name}`, in {unit}"
            )
            return Doubt("time", said, name)
    if step == LOGGED:
        return Doubt("clock", "W&B counts the calls of its logger by it")
    if counts_rows(runs, step):
        return Doubt("clock", "it rises by 1 from row to row, as the number of a row does")
    low_high = _irregular(runs, step)
    if low_high is not None:
        low, high = low_high
        return Doubt("clock", f"it rises by {low:.0f} to {high:.0f} from row to row, irregularly, as a clock does")
    return None


def overall_of(rows: Sequence[Row], step: str, others: Sequence[str], keys: Sequence[str]) -> str:
    """Return the column of steps: another one if its name says that it counts updates of the optimizer, that of `step`
    does not, and both do not rise alike."""
    best = chosen_of([step, *others])
    if not best or step in best:
        return step
    runs = groups(rows, keys)
    both = max(sum(1 for _ in _points(run, step, best[0])) for run in runs)
    times = rise_of(runs, best[0], step)
    alike = both < FEWEST or (times is not None and abs(times - 1) <= CLOSE)
    return best[0] if not alike and counts_up(rows, best[0], keys) else step


def counts_rows(runs: Sequence[Sequence[Row]], step: str) -> bool:
    """Return whether the steps of each row are one more than those of the row before."""
    values = [[value for row in run if isinstance(value := number(row.get(step)), float)] for run in runs]
    return all(len(one) >= FEWEST and all(b == a + 1 for a, b in pairwise(one)) for one in values)


def rise_of(runs: Sequence[Sequence[Row]], name: str, step: str) -> float | None:
    """Return how many times as fast a column rises as the steps do, along the runs. None if it does not rise in
    proportion, or too few rows hold both."""
    rises: list[float] = []
    for run in runs:
        points = sorted(_points(run, step, name))
        if len(points) < FEWEST or not points[-1][0] > points[0][0]:
            continue
        whole = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
        middle = points[len(points) // 2]
        half = (middle[1] - points[0][1]) / (middle[0] - points[0][0]) if middle[0] > points[0][0] else whole
        if whole <= 0 or abs(half / whole - 1) > STEADY:
            return None
        rises.append(whole)
    return sorted(rises)[len(rises) // 2] if rises and max(rises) <= (1 + STEADY) * min(rises) else None


def _points(rows: Sequence[Row], step: str, name: str) -> Iterator[tuple[float, float]]:
    for row in rows:
        at, value = number(row.get(step)), _seconds(row.get(name))
        if isinstance(at, float) and value is not None and math.isfinite(at) and math.isfinite(value):
            yield at, value


def _seconds(cell: object) -> float | None:
    """A number, or the seconds of a date with a time."""
    value = number(cell)
    if isinstance(value, float):
        return value
    if not isinstance(cell, str) or len(cell) < len("2024-01-01 00:00"):
        return None
    try:
        return datetime.fromisoformat(cell.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _unit_of(runs: Sequence[Sequence[Row]], step: str, name: str) -> str | None:
    """The unit of a column with whose seconds the steps of all runs rise, up to rounding. A counter of real steps
    does so neither in every row nor in every run."""
    long = [points for run in runs if len(points := sorted(_points(run, step, name))) >= FEWEST]
    for unit, each in UNITS.items() if long else ():
        if all(_rises_with(points, each) for points in long):
            return unit
    return None


def _rises_with(points: Sequence[tuple[float, float]], each: float) -> bool:
    (begun, first), (ended, _) = points[0], points[-1]
    room = 1.0 + 1e-6 * abs(ended - begun)
    return ended - begun >= SPAN and all(abs((at - begun) - each * (value - first)) <= room for at, value in points)


def _irregular(runs: Sequence[Sequence[Row]], step: str) -> tuple[float, float] | None:
    """The smallest and the largest rise of steps that rise by similar amounts from row to row, none of them a multiple
    of a shared one. Trainers log after a fixed number of steps; a clock is read whenever they do."""
    rises: list[float] = []
    for run in runs:
        values = [value for row in run if isinstance(value := number(row.get(step)), float)]
        rises += [after - before for before, after in pairwise(values) if after > before]
    if len(rises) < FEWEST or not all(rise.is_integer() for rise in rises):
        return None
    low, high, middle = min(rises), max(rises), sorted(rises)[len(rises) // 2]
    shared = math.gcd(*map(int, rises))
    usual = rises.count(middle) > 0.8 * len(rises)
    clock = shared == 1 and low >= LEAST_GAP and high - low <= SPREAD * middle and not usual
    return (low, high) if clock and high > low else None


def _times(rise: float) -> str:
    return f"{rise:.3g} times" if rise >= 1 else f"{rise:.3g} times (1/{1 / rise:.3g})"
