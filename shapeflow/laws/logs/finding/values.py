"""What the values of a column say: how they change along the runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from shapeflow.laws.logs.readers import Row, number

MANY = 8
"""The values of a counter in a run, at least."""
FEWEST = 5
"""Fewest steps from one value to the next that show whether a column accumulates."""
RESTARTS = 0.1
"""What accumulates falls in at most this share of them: where a run that was resumed repeats itself."""
ANNEALED = 0.3
"""A learning rate that falls ends at this share of its peak or below."""
FURTHER = 8.0
"""Growth of the progress of a run that shows whether an amount grows with it."""
SPAN = 2.0
"""Where no column orders the rows, what varies by less than this factor within runs and falls is not an amount."""


def groups(rows: Sequence[Row], keys: Sequence[str]) -> list[list[Row]]:
    """The rows of each run, in order. `keys`: the columns that identify a run."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row.get(key)) for key in keys), []).append(row)
    return list(found.values())


def numbers_of(rows: Sequence[Row], name: str) -> list[float]:
    """The finite numbers of a column."""
    return [value for row in rows if isinstance(value := number(row.get(name)), float) and math.isfinite(value)]


def varies(rows: Sequence[Row], name: str, keys: Sequence[str]) -> bool:
    """Whether a column has several values within a run."""
    return any(len(set(numbers_of(each, name))) > 1 for each in groups(rows, keys))


def counts_up(rows: Sequence[Row], name: str, keys: Sequence[str]) -> bool:
    """Whether a column rises in nearly all rows of most runs, through many values: a counter, and not a property of the
    run."""
    found = [values for each in groups(rows, keys) if len(values := numbers_of(each, name)) >= MANY]
    rising = [
        len(set(values)) >= MANY and sum(after < before for before, after in pairwise(values)) <= 0.1 * len(values)
        for values in found
    ]
    return sum(rising) > 0.5 * len(rising) > 0


def pairs_along(rows: Sequence[Row], name: str, step: str, keys: Sequence[str]) -> Iterator[tuple[float, float]]:
    """Yield the value of a column before and after each rise of the step within a run, in the order of steps."""
    for each in groups(rows, keys):
        found = [(number(row.get(step)), number(row.get(name))) for row in each]
        points = sorted((at, v) for at, v in found if isinstance(at, float) and isinstance(v, float))
        yield from ((low[1], high[1]) for low, high in pairwise(points) if high[0] > low[0])


def grows(rows: Sequence[Row], name: str, step: str | None, keys: Sequence[str]) -> bool:
    """Whether a column grows along the step; without a step, whether it changes at all. A rate rises in about half of
    the rows. What a resumed trainer repeats does not rise, so not all rows need to."""
    if step is None:
        return len(set(numbers_of(rows, name))) > 1
    rises = [after > before for before, after in pairs_along(rows, name, step, keys)]
    if sum(rises) > 0.75 * len(rises) > 0:
        return True
    # Steps may begin again while an amount goes on.
    rows_of_runs = [numbers_of(each, name) for each in groups(rows, keys)]
    moves = [after > before for values in rows_of_runs for before, after in pairwise(values)]
    return sum(moves) > 0.75 * len(moves) > 0


def is_rate(rows: Sequence[Row], amount: Callable[[Row], float | str], step: str | None, keys: Sequence[str]) -> bool:
    """Whether an amount does not accumulate within the runs: it falls in many rows, or stays the same, as a rate does
    and the amount of one step. `amount`: that of a row."""
    order = Counter[bool | None]()
    for each in groups(rows, keys):
        places = [(float(at) if step is None else number(row.get(step)), amount(row)) for at, row in enumerate(each)]
        found = [(at, value) for at, value in places if isinstance(at, float) and isinstance(value, float)]
        values = [value for _, value in found]
        if step is not None:
            found.sort()
        elif not values or max(values) > SPAN * min(values):
            continue
        moves = [(low, high) for (at, low), (then, high) in pairwise(found) if then > at]
        order.update(None if low == high else low < high for low, high in moves)
    falls, count = order[False], order.total()
    return count >= FEWEST and (falls > RESTARTS * count or (step is not None and order[None] == count))


def lags(rows: Sequence[Row], name: str, along: str, keys: Sequence[str]) -> bool:
    """Whether a column rises by far less than in proportion to the progress in all long runs: as a rate does that rises
    slowly, or an amount that did not begin with the run. `along`: the column of progress."""
    spans: list[tuple[float, float]] = []
    for each in groups(rows, keys):
        values = [value for value in numbers_of(each, name) if value > 0]
        places = [at for at in numbers_of(each, along) if at > 0]
        if len(values) >= FEWEST and len(places) > 1 and max(places) >= FURTHER * min(places):
            spans.append((max(values) / min(values), max(places) / min(places)))
    return bool(spans) and all(span < math.sqrt(gone) for span, gone in spans)


def hardly_grows(rows: Sequence[Row], name: str, along: str | None, keys: Sequence[str]) -> bool:
    """Whether a column stays within a factor of `SPAN` in all long runs although their progress does not, as a rate
    does that rises slowly. `along`: the column of progress; without one, the number of rows is the progress."""
    spans: list[tuple[float, float]] = []
    for each in groups(rows, keys):
        values = [value for value in numbers_of(each, name) if value > 0]
        places = [float(len(values)), 1.0] if along is None else [at for at in numbers_of(each, along) if at > 0]
        if len(values) >= FEWEST and len(places) > 1:
            spans.append((max(values) / min(values), max(places) / min(places)))
    return bool(spans) and all(span < SPAN and gone > SPAN * span for span, gone in spans)


def anneals(rows: Sequence[Row], name: str, along: str | None, keys: Sequence[str]) -> bool:
    """Whether a column behaves as a learning rate that falls: in most long runs it is never below 0, rises at most once
    and then falls smoothly to a small share of its peak. `along`: the column of progress; without one, rows are in
    order."""
    order = (
        sorted(rows, key=lambda row: at if isinstance(at := number(row.get(along)), float) else 0.0) if along else rows
    )
    long = [values for each in groups(order, keys) if len(values := numbers_of(each, name)) >= MANY]
    return sum(map(_falls_smoothly, long)) > 0.5 * len(long) > 0


def _falls_smoothly(values: Sequence[float]) -> bool:
    peak = max(values)
    top = values.index(peak)
    rises = all(before <= after for before, after in pairwise(values[: top + 1]))
    falls = all(before >= after for before, after in pairwise(values[top:]))
    return rises and falls and min(values) >= 0 and values[-1] <= ANNEALED * peak and len(set(values[top:])) >= FEWEST


def is_product(rows: Sequence[Row], c: tuple[str, float], n: tuple[str, float], d: tuple[str, float]) -> bool:
    """Whether c = 6 n d in nearly all rows. Each is a column and the number that a unit of it stands for."""
    close = 0
    for row in rows:
        values = [number(row.get(name)) for name, _ in (c, n, d)]
        if all(isinstance(value, float) and value > 0 for value in values):
            total, size, data = (float(value) * each for value, (_, each) in zip(values, (c, n, d), strict=True))
            close += abs(total / (6 * size * data) - 1) < 0.05
    return close > 0.9 * len(rows) > 0


def falls_along(rows: Sequence[Row], name: str, along: str | None, keys: Sequence[str]) -> bool:
    """Whether a column is lower at the end of most runs than at their start."""

    def at(row: Row) -> float:
        value = number(row.get(along)) if along else 0.0
        return value if isinstance(value, float) and math.isfinite(value) else 0.0

    order = sorted(rows, key=at) if along else rows
    long = [values for each in groups(order, keys) if len(values := numbers_of(each, name)) >= 5]
    falls = sum(sum(values[-2:]) < sum(values[:2]) for values in long)
    return falls > 0.5 * len(long) > 0
