"""Tables with a row for each run: whether laws over ends can be fitted to them, and what is assumed then."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from shapeflow.doctor.curves import Key
from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.runs import Run

APART = 0.05
"""Budgets closer than this, in log compute, count as one."""
FEWEST, SHARED = 3, 2
"""Fewest budgets of a shape; and of all but one, if `FEWEST` shapes share an exponent."""
SUMMARISED = {"best", "min", "max", "mean", "avg", "average", "ema", "smooth", "smoothed", "raw"}
"""Words of a column that is not the last value of a metric."""


def budgets_enough(curves: Mapping[Key, Run]) -> bool:
    """Whether each shape has ends at budgets enough for laws over ends."""
    budgets: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for (shape, _), run in curves.items():
        budgets[shape].update(int(math.log(point.compute) / APART) for point in run.points.values())
    counts = sorted(map(len, budgets.values()))
    least = SHARED if len(counts) >= FEWEST else FEWEST
    return bool(counts) and counts[0] >= least and counts[-1] >= FEWEST


def advice_of_ends(reading: Reading, roles: Roles, proposed: bool) -> Iterator[str]:
    """Yield what is assumed of such a table, and what else can be done with it. `proposed`: whether there are
    sentences."""
    error = roles.errors[0]
    if proposed:
        yield (
            f"it is assumed that each row is the end of a run that finished its own schedule, and that `{error}` is "
            "the last value there: a summary may instead be the best, or a smoothed one"
        )
        if not SUMMARISED.isdisjoint(words.words(error)):
            yield f"`{error}` is by its name not the last value: export the last one, and name it by `error`"
        rates = [name for name in roles.differs if words.is_learning_rate(name)]
        if rates:
            yield f"runs of one shape differ in `{rates[0]}`: select one value by `where`"
    else:
        yield (
            f"a law over ends needs runs of {FEWEST} lengths for each shape, and columns of the shape and of compute, "
            "or of parameters and tokens"
        )
    yield from _frontier(reading, roles)


def advice_of_rows(reading: Reading, roles: Roles) -> Iterator[str]:
    """Yield how the rows of a table of sizes and tokens are read as ends. They look like the points of one run a size
    where no column tells runs apart."""
    sizes = any(one.role == "parameters" for one in roles.of.values())
    if sizes and roles.tokens is not None and roles.step is None:
        yield f'if each row is the end of a run of its own, write `points: ends, run: "{roles.tokens}"`'
        yield from _frontier(reading, roles)


def _frontier(reading: Reading, roles: Roles) -> Iterator[str]:
    if any(one.role == "parameters" for one in roles.of.values()):
        name = reading.files[0].name
        yield f"one law of size and tokens, and the best size for a budget: `shapeflow frontier {name}`"
