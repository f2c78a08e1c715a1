"""One curve of a log file that is being read: its rows are added to runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.log_search import OTHER_SHAPES, LogSearch
from shapeflow.laws.logs.readers import TENSORBOARD, TRAINER_STATE, Block, Log, Row, Unreadable, Wanted, number, same
from shapeflow.laws.logs.readers.block import BLANK, NUMBER
from shapeflow.laws.logs.rows import Cells, Rows
from shapeflow.laws.logs.runs import RUNS, Run
from shapeflow.laws.logs.series import Series
from shapeflow.laws.logs.template import PART, RUN

CONVENTION = "convention"
"""The column of a sweep table that states the compute convention."""


@attrs.frozen
class Curve:
    """One curve of a file that is being read."""

    search: LogSearch
    series: Series
    log: Log
    name: str
    named: bool
    """Whether the path states the run."""
    _shapes: dict[tuple[str, ...], Shape | None] = attrs.field(factory=dict)
    """Cells of the axis columns -> the candidate. None: the shape is not a candidate."""
    _begun: set[tuple[str, ...]] = attrs.field(factory=set)
    """Keys of the runs for which this file has contained a row with a step and an error."""

    def take(self, row: Row) -> bool:
        """Add a row to its run. Return False if the shape of the row is not a candidate."""
        series = self.series
        shape = self._shape(row)
        if shape is None:
            return False
        step = series.step.of(row) if series.step else "blank"
        compute = series.compute.of(row) if series.compute is not None else self._derived(step, shape)
        error = row.get(series.error)
        at = step if isinstance(step, float) else None
        run = self._run(row, shape, at if number(error) != "blank" else None)
        run.add(compute, error, at, row.get(series.rate) if series.rate else None)
        run.averaged = CONVENTION in row
        if series.size is not None and isinstance(size := number(row.get(series.size)), float):
            run.sizes.add(size * words.count_of(series.size))
        return True

    def groups(self, block: Block) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield for the rows of each shape and run the index of the first one, and what adds them to their run."""
        series = self.series
        count = series.step.of_block(block) if series.step else None
        compute = series.compute.of_block(block) if series.compute is not None else None
        cells = Rows(
            compute=compute or count or Cells(np.zeros(block.count), np.full(block.count, BLANK, np.int8)),
            error=Cells(*block.numbers(series.error)),
            step=count,
            rate=Cells(*block.numbers(series.rate)) if series.rate else None,
        )
        sizes = Cells(*block.numbers(series.size)) if series.size is not None else None
        columns = [*series.axes.values(), *series.runs]

        def key(names: tuple[str, ...]) -> tuple[object, ...]:
            row = dict(zip(columns, names, strict=True))
            shape = self.candidate(row)
            return names if shape is None else (shape, names[len(series.axes) :])

        for names, rows in block.groups(columns, key):
            row = dict(zip(columns, names, strict=True))
            some = None if sizes is None else sizes.chosen(rows)
            yield int(rows[0]), partial(self._take_all, row, cells.chosen(rows), some)

    def _take_all(self, row: Row, cells: Rows, sizes: Cells | None) -> None:
        """Add rows of one shape and run. `row`: their cells in the columns of axes and runs. The compute of `cells` is
        their progress if it is derived from it."""
        shape = self._shape(row, len(cells))
        if shape is None:
            return
        if self.series.compute is None:
            each = self._per_unit(shape)
            values, kinds = cells.compute.values, cells.compute.kinds
            known = (kinds == NUMBER) & (each is not None)
            with np.errstate(all="ignore"):
                derived = Cells(values * (each or 0.0), np.where(known, NUMBER, BLANK).astype(np.int8))
            cells = attrs.evolve(cells, compute=derived)
        run = self._run(row, shape, None)
        run.extend(cells)
        if sizes is not None and self.series.size is not None:
            each = words.count_of(self.series.size)
            run.sizes.update(each * size for size in np.unique(sizes.values[sizes.kinds == NUMBER]).tolist())

    def _derived(self, progress: float | str, shape: Shape) -> float | str:
        """Return the compute after some progress, by the model."""
        each = self._per_unit(shape)
        return progress * each if isinstance(progress, float) and each is not None else "blank"

    def _per_unit(self, shape: Shape) -> float | None:
        """Return the FLOPs of the model per unit of progress."""
        step, request = self.series.step, self.search.request
        each = (request.step_compute or {}).get(shape)
        if step is not None and step.data and each is not None:
            data = (request.step_data or {}).get(shape)
            each = each / data if data else None
        return each

    def _shape(self, row: Row, times: int = 1) -> Shape | None:
        """Return the shape of rows, and count them (`times`) if it is not a candidate."""
        shape = self.candidate(row)
        if shape is None:
            self.search.other_shape(self._values(row), times)
        return shape

    def candidate(self, row: Row) -> Shape | None:
        """Return the shape of a row. None if it is not a candidate."""
        cells = tuple(str(row.get(column)) for column in self.series.axes.values())
        if cells in self._shapes:
            return self._shapes[cells]
        shape = self.search.candidate(self._values(row))
        if len(self._shapes) < OTHER_SHAPES or shape is not None:
            self._shapes[cells] = shape
        return shape

    def _values(self, row: Row) -> dict[str, Any]:
        series = self.series
        given = {axis: value for axis, value in series.given.items() if axis not in (RUN, PART)}
        return {**given, **{axis: row.get(column) for axis, column in series.axes.items()}}

    def _run(self, row: Row, shape: Shape, step: Any) -> Run:
        """Return the run of a row. Create it if it is new. `step`: the step of the row, or None if the row does not
        have an error. Raises Unreadable for too many runs."""
        series, logs = self.series, self.search.logs
        place = "" if self.named else self._place()
        names = tuple(str(row.get(column)) for column in series.runs)
        key = (place, repr(shape), series.given.get(RUN, ""), *names)
        run = logs.runs.get(key)
        if run is None:
            if len(logs.runs) >= RUNS:
                columns = " and ".join(f"`{column}`" for column in series.runs) or "the files"
                help = self.search.request.advice(("run", "; name the column that identifies a run with `{}`"))
                raise Unreadable(f"{columns} identify more than {RUNS} runs{help or ''}")
            called = " ".join(one for one in (series.given.get(RUN, ""), *names) if one)
            run = logs.runs[key] = Run(shape, self.name, name=called, evaluation=self._evaluation())
            # `sweep` wrote this table; it trains at a constant rate.
            run.learning_rate = "constant" if row.get(CONVENTION) else None
            run.counter = self.search.counter(series)
            run.epochs = series.epochs
        at = number(step)
        if key not in self._begun and isinstance(at, float):
            self._begun.add(key)
            # A trainer that resumes opens another event file. Points of earlier files from this step on are obsolete.
            if self.name not in run.files and run.files and self.log.format == TENSORBOARD.name:
                run.come_back(at - 1)
        run.file = self.name
        run.files[self.name] = None
        return run

    def _place(self) -> str:
        """Return what the files of one run have in common."""
        if PART not in self.series.given:
            return str(self.log.run)
        return self.search.finder.template(self.search.query.pattern).without_part(self.name)

    def _evaluation(self) -> str | None:
        trains = self.log.format == TRAINER_STATE.name and self.series.error == "loss"
        return "training" if trains else self.series.evaluation


def wanted_of(curves: Iterable[Curve], where: Iterable[str]) -> Wanted:
    """Return the columns that curves need, and those that select rows."""
    texts, numbers = set(where), set[str]()
    for curve in curves:
        series = curve.series
        compute = () if series.compute is None else series.compute.columns
        step = () if series.step is None else (series.step.column,)
        texts.update((*series.axes.values(), *series.runs))
        numbers.update(name for name in (series.error, *compute, *step, series.rate, series.size) if name is not None)
    return Wanted(frozenset(texts), frozenset(numbers))


def take_block(curves: Sequence[Curve], block: Block, where: Mapping[str, Any]) -> None:
    """Add many rows to the curves of a table, as adding them one by one would. `where`: the rows to take."""
    for column, value in where.items():
        block = block.where(column, partial(same, wanted=value))
    # Runs are made in the order of their first rows.
    groups = [one for curve in curves for one in curve.groups(block)]
    for _, take in sorted(groups, key=lambda one: one[0]):
        take()
