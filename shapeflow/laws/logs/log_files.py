"""Read runs from one log file of any format. A row contains one measurement, or one measurement of each of several
runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.counter import assumed, other_batch
from shapeflow.laws.logs.epochs import epoch_of
from shapeflow.laws.logs.log_search import OTHER_SHAPES, LogSearch
from shapeflow.laws.logs.progress import counts_late
from shapeflow.laws.logs.readers import PARTS, TENSORBOARD, TRAINER_STATE, Log, Row, Unreadable, number, open_log, same
from shapeflow.laws.logs.refusals import refused
from shapeflow.laws.logs.runs import RUNS, Run
from shapeflow.laws.logs.series import Series
from shapeflow.laws.logs.table_facts import facts_of
from shapeflow.laws.logs.template import RUN

CONVENTION = "convention"
"""The column of a sweep table that states the compute convention."""


def read_table(search: LogSearch, path: Path, given: Mapping[str, str]) -> None:
    """Read one log file. `given`: the values of axes and `run` that its path states. Raises Unreadable."""
    log, name = open_log(path, search.query.numerals), search.name(path)
    names = log.columns()
    if not names:
        search.logs.skipped[name] = "it contains no complete row" if log.torn else "it is empty"
        return
    axes = {axis: search.query.axes.get(axis, axis) for axis in search.request.units}
    parts = _parts(search, log)
    names = list(dict.fromkeys(name for part in parts for name in part.columns()) if len(parts) > 1 else names)
    known = _beside(search, path, names, given)
    names += known
    table = facts_of(names, chain.from_iterable(_selected(search, part, known) for part in parts), axes)
    if table.roles.epochs is not None and search.query.step_unit is None:
        column = table.columns[table.roles.epochs]
        table = attrs.evolve(table, epoch=epoch_of(path, column.high + counts_late(column)))
    if refused(search, table, name):
        return
    curves = [_Curve(search, one, log, name, RUN in given) for one in search.finder.series(table, name, given)]
    for counter in {search.counter(curve.series) for curve in curves} - {None}:
        other_batch(search, table, path, str(counter))
    if not curves:
        return
    for row in _selected(search, log, known):
        taken = [curve.take(row) for curve in curves]
        if any(taken) and row.get(CONVENTION) and row[CONVENTION] != search.request.convention:
            search.other_convention(name, row[CONVENTION])
            return
    search.close(log)
    _counted(search, log, curves)
    _in_percent(search, name)


def _parts(search: LogSearch, log: Log) -> list[Log]:
    """Return the logs that are the log of a run together, as the event files and the metrics of one folder are."""
    if log.format not in PARTS:
        return [log]
    if not search.parts:
        for each in search.matched:
            one = open_log(each)
            if one.format in PARTS:
                one.columns()
                search.parts.setdefault(one.run, []).append(each)
    return [open_log(each) for each in search.parts.get(log.run, [log.path])]


def _beside(search: LogSearch, path: Path, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the values that the query asks for and that stand in a configuration next to the log, not in the log."""
    query = search.query
    product = [part.strip() for part in (query.compute or "").split("*")]
    axes = [query.axes.get(axis, axis) for axis in search.request.units if axis not in given]
    wanted = {*axes, *query.run, *query.where, *product} - set(names)
    found = beside(path) if wanted else {}
    return {name: found[name] for name in sorted(wanted) if name in found}


def _selected(search: LogSearch, log: Log, known: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows that the query asks for, with what is known of all of them."""
    where = search.query.where
    rows = ({**row, **known} for row in log.rows()) if known else log.rows()
    return (row for row in rows if all(same(row.get(column), value) for column, value in where.items()))


@attrs.frozen
class _Curve:
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
            run.sizes.add(size)
        return True

    def _derived(self, progress: float | str, shape: Shape) -> float | str:
        """Return the compute after some progress, by the model."""
        step, request = self.series.step, self.search.request
        each = (request.step_compute or {}).get(shape)
        if step is not None and step.data and each is not None:
            data = (request.step_data or {}).get(shape)
            each = each / data if data else None
        return progress * each if isinstance(progress, float) and each is not None else "blank"

    def _shape(self, row: Row) -> Shape | None:
        series = self.series
        cells = tuple(str(row.get(column)) for column in series.axes.values())
        if cells in self._shapes:
            if self._shapes[cells] is None:
                self.search.other_shape(self._values(row))
            return self._shapes[cells]
        values = self._values(row)
        shape = self.search.candidate(values)
        if shape is None:
            self.search.other_shape(values)
        if len(self._shapes) < OTHER_SHAPES or shape is not None:
            self._shapes[cells] = shape
        return shape

    def _values(self, row: Row) -> dict[str, Any]:
        series = self.series
        given = {axis: value for axis, value in series.given.items() if axis != RUN}
        return {**given, **{axis: row.get(column) for axis, column in series.axes.items()}}

    def _run(self, row: Row, shape: Shape, step: Any) -> Run:
        """Return the run of a row. Create it if it is new. `step`: the step of the row, or None if the row does not
        have an error. Raises Unreadable for too many runs."""
        series, logs = self.series, self.search.logs
        place = "" if self.named else str(self.log.run)
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
        at = number(step)
        if key not in self._begun and isinstance(at, float):
            self._begun.add(key)
            # A trainer that resumes opens another event file. Points of earlier files from this step on are obsolete.
            if self.name not in run.files and run.files and self.log.format == TENSORBOARD.name:
                run.come_back(at - 1)
        run.file = self.name
        run.files[self.name] = None
        return run

    def _evaluation(self) -> str | None:
        trains = self.log.format == TRAINER_STATE.name and self.series.error == "loss"
        return "training" if trains else self.series.evaluation


def _counted(search: LogSearch, log: Log, curves: list[_Curve]) -> None:
    """Record how compute was derived, if the file does not contain it."""
    name = search.name(log.path)
    for curve in curves:
        compute = curve.series.compute
        if compute is None:
            search.logs.counted[name] = curve.series.step.said if curve.series.step else ""
            if (counter := search.counter(curve.series)) is not None:
                search.logs.assumed[assumed(counter, search.request)] = None
        elif curve.series.guessed is not None:
            search.logs.counted[name] = curve.series.guessed
        else:
            reported = [f"{log.made[column]} (`{column}`)" for column in compute.columns if column in log.made]
            search.logs.counted.update(dict.fromkeys([name] if reported else [], "; ".join(reported)))


def _in_percent(search: LogSearch, name: str) -> None:
    """Report errors above 1 of a metric that is a fraction (`error-above-one`)."""
    metric = search.request.metric
    if not metric.partition("@")[0].endswith("_error") or "percent" in search.reported:
        return
    values = (p.error for run in search.logs.runs.values() if name in run.files for p in run.points.values())
    if (highest := max(values, default=0.0)) > 1:
        search.reported.add("percent")
        search.report.error(
            "error-above-one",
            f"`{name}` contains errors up to {highest:.4g}, but `{metric}` is a share between 0 and 1",
            search.request.at("paths"),
            "is it in percent, or another metric?",
            help=search.request.advice(
                "divide a column in percent by 100", ("error", "name the error column with `{}`")
            ),
        )
