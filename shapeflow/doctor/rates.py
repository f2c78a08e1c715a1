"""A sweep over learning rates: the rate of the runs that laws are fitted to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import attrs

from shapeflow.doctor.curves import curves_of, wanted_of
from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.readers import same
from shapeflow.laws.logs.series import Progress


def rate_of(
    reading: Reading, roles: Roles, progress: Progress | Mapping[str, Progress] | None
) -> tuple[str, str] | None:
    """Return the column of a learning rate in which runs of one shape differ, and the rate that most shapes were
    trained at and whose errors at the end are lowest (the geometric mean over shapes). None without such a column, or
    if rows are selected already."""
    column = next((name for name in roles.differs if words.is_learning_rate(name)), None)
    # `where` leaves out rows without the column, as of metrics that are logged apart.
    if column is not None and reading.columns[column].present < reading.count:
        return None
    if column is None or roles.where is not None or not (roles.errors and roles.axes):
        return None

    lowest = _lowest(reading, attrs.evolve(roles, runs=(*roles.runs, column)), progress)

    def score(value: str) -> tuple[int, float]:
        # One rate may be written in several ways.
        found: dict[tuple[str, ...], float] = {}
        for (shape, rate), error in lowest.items():
            if same(rate, value):
                found[shape] = min(error, found.get(shape, math.inf))
        return -len(found), fmean(map(math.log, found.values())) if found else math.inf

    return column, min(reading.columns[column].values, key=score)


def _lowest(
    reading: Reading, roles: Roles, progress: Progress | Mapping[str, Progress] | None
) -> dict[tuple[tuple[str, ...], str], float]:
    """The lowest error at the end of a run of each shape and rate. The last column of `roles.runs` is that of the rate.
    The logs are read once for all rates."""
    counter = next(iter(progress.values())) if isinstance(progress, Mapping) else progress
    found: dict[tuple[tuple[str, ...], str], float] = {}
    for (shape, names), run in curves_of(reading.pieces(wanted_of(roles, counter)), roles, progress).items():
        if run.end is not None:
            key = shape, names[-1]
            found[key] = min(run.end.error, found.get(key, math.inf))
    return found


def at_rate(roles: Roles, where: tuple[str, str], rows: Sequence[Mapping[str, object]]) -> Roles:
    """Return the roles of the columns for the runs at one learning rate."""
    taken = [row for row in rows if same(row.get(where[0]), where[1])]
    varied = {name for name in roles.differs if len({str(row.get(name)) for row in taken}) > 1}
    return attrs.evolve(
        roles,
        where=where,
        chosen=True,
        runs=tuple(name for name in roles.runs if name != where[0]),
        run=tuple(name for name in roles.run if name != where[0]),
        differs=tuple(name for name in roles.differs if name in varied),
    )
