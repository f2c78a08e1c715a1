"""Extracts the curves of a table as a fit reads them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.doctor.facts import CurveFacts, Cut
from shapeflow.doctor.names import value_of
from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.epochs import epoch_of
from shapeflow.laws.logs.finding.by_name import FILE
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.values import grows
from shapeflow.laws.logs.mistaken import copies_of, measured_twice, restarted
from shapeflow.laws.logs.points import Point, thin
from shapeflow.laws.logs.processes import processes_of
from shapeflow.laws.logs.progress import counts_late, in_epochs, in_units
from shapeflow.laws.logs.readers import Block, Piece, Row, Wanted, number, same
from shapeflow.laws.logs.rows import Cells, Rows
from shapeflow.laws.logs.runs import RUNS, Run
from shapeflow.laws.logs.schedule import FALLEN, diverged
from shapeflow.laws.logs.series import Product, Progress
from shapeflow.laws.logs.usable import faults

BINS = 24
STEEPER = 1.2
"""The minimum ratio of slopes per decade at which a curve counts as steeper."""
SIGMAS = 2.5
"""A change by more standard deviations than this is not noise."""


Key = tuple[tuple[str, ...], tuple[str, ...]]


def curves_of(
    tables: Iterable[tuple[str, Iterable[Piece]]],
    roles: Roles,
    progress: Progress | Mapping[str, Progress] | None = None,
) -> dict[Key, Run]:
    """(values on the axes, file and run) -> the run. `tables`: the name and rows of each file. `progress`: what takes
    the place of compute if no column counts it, of all files or by their names. Rows without a shape are skipped, and
    runs are cut where their rate falls at their end.
    Copies of other runs are left out, as a fit does."""
    found: dict[Key, Run] = {}
    for file, pieces in tables:
        own = progress.get(file) if isinstance(progress, Mapping) else progress
        count = Product(roles.compute, roles.flops) if roles.compute else own
        if count is None:
            continue
        curves = _Curves(roles, own, count, found)
        for piece in pieces:
            curves.add_block(file, piece) if isinstance(piece, Block) else curves.add(file, piece)
    for key in copies_of(found):
        del found[key]
    for run in found.values():
        run.settle()
        run.cut()
    return {key: run for key, run in found.items() if run.points or faults(run.excluded)}


def wanted_of(roles: Roles, progress: Progress | None) -> Wanted:
    """The columns that `curves_of` reads."""
    where = () if roles.where is None else (roles.where[0],)
    counted = () if progress is None else (progress.column,)
    rate = () if roles.rate is None else (roles.rate,)
    numbers = frozenset((*roles.compute, *counted, *rate, roles.errors[0]))
    return Wanted(frozenset((*roles.axes.values(), *roles.runs, *where)), numbers)


@attrs.frozen
class _Curves:
    """The curves that were read so far."""

    roles: Roles
    progress: Progress | None
    count: Product | Progress
    found: dict[Key, Run]

    def add(self, file: str, row: Row) -> None:
        """Add a row of a file."""
        roles = self.roles
        shape = _shape(row, roles) if roles.takes(row) else None
        run = None if shape is None else self._run(shape, (file, *(str(row.get(column)) for column in roles.runs)))
        if run is not None:
            rate = row.get(roles.rate) if roles.rate else None
            step = self.progress.of(row) if self.progress is not None else None
            run.add(self.count.of(row), row.get(roles.errors[0]), step if isinstance(step, float) else None, rate)

    def add_block(self, file: str, block: Block) -> None:
        """Add many rows of a file."""
        roles = self.roles
        if roles.where is not None:
            column, value = roles.where
            block = block.where(column, partial(same, wanted=value))
        cells = self._cells(block)

        def key(names: tuple[str, ...]) -> Key | None:
            shape = _shape(dict(zip(roles.axes.values(), names, strict=False)), roles)
            return None if shape is None else (shape, (file, *names[len(roles.axes) :]))

        for names, rows in block.groups([*roles.axes.values(), *roles.runs], key):
            if (at := key(names)) is not None and (run := self._run(*at)) is not None:
                run.extend(cells.chosen(rows))

    def _cells(self, block: Block) -> Rows:
        roles = self.roles
        return Rows(
            compute=self.count.of_block(block),
            error=Cells(*block.numbers(roles.errors[0])),
            step=None if self.progress is None else self.progress.of_block(block),
            rate=None if roles.rate is None else Cells(*block.numbers(roles.rate)),
        )

    def _run(self, shape: tuple[str, ...], names: tuple[str, ...]) -> Run | None:
        """The run of this shape; None if there are too many."""
        key = shape, names
        if key not in self.found and len(self.found) >= RUNS:
            return None
        if key not in self.found:
            self.found[key] = Run(Shape.of(dict(zip(self.roles.axes, shape, strict=True))), names[0])
        return self.found[key]


def progress_of(columns: Mapping[str, Column], roles: Roles, unit: Amount | None) -> Progress | None:
    """What counts compute in a file with a model: steps, else tokens, else epochs or samples of a known unit."""
    if roles.step is not None:
        return in_units(roles.step, None, False)
    if roles.tokens is not None:
        return in_units(roles.tokens, Amount(1.0, "tokens"), False)
    other = roles.epochs or roles.samples
    if other is None or unit is None:
        return None
    return in_units(other, unit, other == roles.epochs and counts_late(columns[other]))


def by_tokens(reading: Reading, roles: Roles) -> Roles:
    """The roles of the columns, without steps where tokens count compute as well: a step of the log may be a row, or
    of another batch than that of the file, and a token is a token."""
    step, tokens = roles.step, roles.tokens
    if step is None or tokens is None or roles.compute or roles.ends or not roles.errors:
        return roles
    if processes_of(tokens, reading.columns, reading.logs[0].path) is not None:
        return roles
    rows = reading.some()
    measured = [row for row in rows if isinstance(number(row.get(roles.errors[0])), float)]
    counted = [sum(isinstance(number(row.get(name)), float) for row in measured) for name in (tokens, step)]
    keys = [FILE, *roles.axes.values(), *roles.runs]
    if counted[0] < counted[1] or not grows(rows, tokens, step, keys):
        return roles
    return attrs.evolve(roles, step=None, doubt=None)


def epochs_of(reading: Reading, roles: Roles) -> dict[str, Progress]:
    """The run of a file -> what counts its steps, for logs that count epochs alone and have configurations that say
    their length. Empty if one of them has none."""
    if roles.step is not None or roles.tokens is not None or roles.epochs is None:
        return {}
    late, found = counts_late(reading.columns[roles.epochs]), {}
    highest = reading.highest(roles.epochs)
    for log in reading.logs:
        if (epoch := epoch_of(log.path, highest[log.path] + late)) is None:
            return {}
        found[log.run.as_posix()] = in_epochs(roles.epochs, epoch, late)
    return found


def _shape(row: Row, roles: Roles) -> tuple[str, ...] | None:
    """The values on the axes, in the syntax of a `.shape` file; None if one is not a value of its axis."""
    values = [value_of(axis, row.get(column)) for axis, column in roles.axes.items()]
    return None if None in values else tuple(value for value in values if value is not None)


def facts_of(curves: Mapping[Key, Run]) -> CurveFacts | None:
    """The facts about the curves; None if no run has a point."""
    full = {key: _ordered(curve) for key, curve in curves.items() if curve.points}
    if not full:
        return None
    excluded: Counter[str] = Counter()
    for curve in curves.values():
        excluded.update(faults(curve.excluded))
    spans: dict[tuple[str, ...], list[float]] = {}
    for (shape, _), points in full.items():
        spans.setdefault(shape, []).extend((points[0].compute, points[-1].compute))
    decades = [math.log10(max(span) / min(span)) for span in spans.values()]
    errors = [point.error for points in full.values() for point in points]
    counts = [len(points) for points in full.values()]
    return CurveFacts(
        shapes=len(spans),
        runs=len(full),
        points=(min(counts), max(counts)),
        decades=(min(decades), max(decades)),
        compute=(min(min(span) for span in spans.values()), max(max(span) for span in spans.values())),
        error=(min(errors), max(errors)),
        repeated=sum(curve.repeated for curve in curves.values()),
        restarted=sum(restarted(curve) or measured_twice(curve) for curve in curves.values()),
        goes_on=sum(curve.goes_on for curve in curves.values()),
        by_steps=sum(curve.per_step is not None and not curve.goes_on for curve in curves.values()),
        falls=sum(curve.falls for curve in curves.values()),
        excluded=dict(excluded),
        diverged=sum(diverged(points)[-1:] == points[-1:] for points in full.values()),
        learning_rate=_rate(list(curves.values())),
        falling=sum(run.rate() == "falling" for run in curves.values()),
        cut=_cut_at(list(curves.values())),
        steepens=_most([_steepens(points) for points in full.values()]),
        warmup=_warmup([curve.rates for curve in curves.values()]),
        early=_early(list(full.values())),
    )


def _ordered(run: Run) -> list[Point]:
    return sorted(run.points.values(), key=lambda point: point.compute)


def _most(answers: Sequence[bool | None]) -> bool:
    known = [answer for answer in answers if answer is not None]
    return sum(known) > 0.5 * len(known) > 0


def _rate(runs: Sequence[Run]) -> Literal["constant", "falling"] | None:
    """Whether the learning rate of most runs, where they are cut, stays constant or falls after its maximum; None if
    unknown."""
    known = [found for run in runs if (found := run.rate()) is not None]
    return None if not known else "falling" if _most([found == "falling" for found in known]) else "constant"


def _cut_at(runs: Sequence[Run]) -> Cut | None:
    """Where the runs are cut; None if none is."""
    cut = [run for run in runs if math.isfinite(run.until)]
    if not cut:
        return None
    at = [run.until for run in cut]
    stepped = all(point.step is not None for run in cut for point in run.points.values())
    counts = [len(run.points) for run in cut]
    return Cut(runs=len(cut), at=(min(at), max(at)), steps=stepped, points=(min(counts), max(counts)))


def _warmup(runs: Sequence[Mapping[float, float]]) -> float | None:
    """The median step at which the learning rate reaches its maximum; None unless it rises at first in most runs."""
    tops: list[float] = []
    for rates in runs:
        steps, top = sorted(rates), max(rates.values(), default=0.0)
        if rates and rates[steps[0]] < FALLEN * top:
            tops.append(next(step for step in steps if rates[step] >= 0.999 * top))
    return median(tops) if tops and len(tops) > 0.5 * len(runs) else None


def _slopes(points: Sequence[Point]) -> list[float]:
    """The decrease of the error per factor e of compute, between points evenly spaced in log compute."""
    return [
        (before.error - after.error) / math.log(after.compute / before.compute)
        for before, after in pairwise(thin(points, BINS))
        if after.compute > before.compute
    ]


def _noise(slopes: Sequence[float]) -> float:
    """The standard deviation of the noise in slopes, estimated from the differences of neighbours."""
    return median(abs(after - before) for before, after in pairwise(slopes)) / 0.6745 / math.sqrt(2)


def _steepens(points: Sequence[Point]) -> bool | None:
    """Whether a curve becomes steeper per decade later in the run, which a power law with a floor never does. True if
    three consecutive slopes all exceed the three before by more than their noise; None if there are too few points."""
    slopes = _slopes(points)
    if len(slopes) < 8:
        return None
    sigma = _noise(slopes)
    # Skip the first third: curves also become steeper during warm-up.
    for at in range(len(slopes) // 3 + 3, len(slopes) - 2):
        before, after = slopes[at - 3 : at], slopes[at : at + 3]
        rise = (sum(after) - sum(before)) / 3
        if min(after) > max(STEEPER * max(before), 0.0) and rise > SIGMAS * sigma * math.sqrt(2 / 3):
            return True
    return False


def _early(runs: Sequence[Sequence[Point]]) -> int:
    """The median number of points before the steepest part of a curve, which do not follow a law yet."""
    early: list[int] = []
    for points in runs:
        slopes = _slopes(points)
        if len(slopes) < 8:
            continue
        smooth = [median(slopes[max(0, index - 1) : index + 2]) for index in range(len(slopes) // 3)]
        top = max(range(len(smooth)), key=smooth.__getitem__)
        if smooth[top] < STEEPER * smooth[0] or smooth[top] - smooth[0] < SIGMAS * _noise(slopes):
            top = 0
        kept = thin(points, BINS)
        early.append(sum(point.compute < kept[top].compute for point in points))
    return int(median(early)) if early else 0
