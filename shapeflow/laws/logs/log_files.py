"""Read runs from one log file of any format. A row contains one measurement, or one measurement of each of several
runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.columns import Series
from shapeflow.laws.logs.log_search import OTHER_SHAPES, LogSearch
from shapeflow.laws.logs.readers import TENSORBOARD, TRAINER_STATE, Log, Row, Unreadable, number, open_log, same
from shapeflow.laws.logs.runs import RUNS, Run
from shapeflow.laws.logs.template import RUN

CONVENTION = "convention"
"""The column of a sweep table that states the compute convention."""


def read_table(search: LogSearch, path: Path, given: Mapping[str, str]) -> None:
    """Read one log file. `given`: the values of axes and `run` that its path states. Raises Unreadable."""
    log, name = open_log(path), search.name(path)
    names = log.columns()
    if not names:
        search.logs.skipped[name] = "it contains no complete row" if log.torn else "it is empty"
        return
    curves = [_Curve(search, one, log, name, RUN in given) for one in search.finder.series(names, name, given)]
    if not curves:
        return
    for row in log.rows():
        if not all(same(row.get(column), value) for column, value in search.query.where.items()):
            continue
        taken = [curve.take(row) for curve in curves]
        if any(taken) and row.get(CONVENTION) and row[CONVENTION] != search.request.convention:
            search.other_convention(name, row[CONVENTION])
            return
    search.close(log)
    _counted(search, log, curves)
    _in_percent(search, name)


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
        series, search = self.series, self.search
        shape = self._shape(row)
        if shape is None:
            return False
        step = row.get(series.step) if series.step else None
        if series.compute is not None:
            compute = series.compute.of(row)
        else:
            at, each = number(step), (search.request.step_compute or {}).get(shape)
            compute = at * each if isinstance(at, float) and each is not None else "blank"
        error = row.get(series.error)
        run = self._run(row, shape, step if number(error) != "blank" else None)
        run.add(compute, error, step, row.get(series.rate) if series.rate else None)
        run.averaged = CONVENTION in row
        if series.size is not None and isinstance(size := number(row.get(series.size)), float):
            run.sizes.add(size)
        return True

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
            run = logs.runs[key] = Run(shape, self.name, evaluation=self._evaluation())
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
            search.logs.counted[name] = "steps times the model's FLOPs per step"
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
