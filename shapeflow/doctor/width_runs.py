"""The runs in logs that differ in width alone, read by the columns that doctor finds or the user names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.base.shapes import Shape
from shapeflow.doctor.curves import Key, curves_of, facts_of, progress_of
from shapeflow.doctor.names import axis_words
from shapeflow.doctor.reading import Reading, readings
from shapeflow.doctor.sources import RUN_FOLDER, Source
from shapeflow.laws.logs.finding.roles import Roles, roles_of
from shapeflow.laws.logs.readers import Row, number, same
from shapeflow.laws.logs.run_folders import plan_of, unlike
from shapeflow.laws.logs.runs import Run, constant_until

WIDTH = "width"
PLACE = "--fit"


@attrs.frozen
class Named:
    """Columns that the user names; None: those that doctor finds."""

    width: str | None = None
    loss: str | None = None
    compute: str | None = None
    """A column, or a product: `6 * params * tokens`."""
    where: tuple[tuple[str, str], ...] = ()
    """Columns, each with the value that it has in the rows to read."""


@attrs.frozen(eq=False)
class WidthRuns:
    """Runs that differ in width alone."""

    runs: tuple[Run, ...]
    loss: str
    """The column of the loss."""
    compute: str
    """The columns of compute."""
    notes: tuple[str, ...]
    """What may be wrong with them: whole sentences, lower case, no full stop."""


def width_runs(names: Sequence[str], named: Named, report: Report) -> WidthRuns | None:
    """Return the runs in logs, given as files, folders or patterns. None after an error: `no-such-logs`,
    `unreadable-log`, `missing-extra`, `missing-column`, `no-width-family`."""
    notes: list[str] = []
    curves: dict[Key, Run] = {}
    used: list[Roles] = []
    for reading in readings(names, report).each:
        logs = [_taken(log, named) for log in reading.logs if _of_one_shape(log, notes)]
        reading = attrs.evolve(reading, logs=logs)
        roles = _roles(reading, named, report) if logs else None
        if roles is None:
            continue
        used.append(roles)
        curves.update(curves_of(_tables(reading), roles, progress_of(reading.columns, roles, None)))
    if report.failed or not _alone(curves, used, notes, report):
        return None
    facts = facts_of(curves)
    if facts is not None and facts.steepens and facts.learning_rate is None:
        notes.append("most curves fall faster again later on: the learning rate seems to fall there")
    notes += [f"runs of one width also differ in `{name}`" for name in dict.fromkeys(_differing(used))]
    counted = " * ".join(([] if used[0].flops == 1 else [f"{used[0].flops:g}"]) + list(used[0].compute))
    for run in curves.values():
        run.shape = Shape.of({WIDTH: int(str(run.shape[WIDTH]))})
    return WidthRuns(tuple(curves.values()), used[0].errors[0], counted, tuple(notes))


def _taken(log: Source, named: Named) -> Source:
    """The log with the rows that the user selects."""

    def read() -> Iterator[Row]:
        return (row for row in log.read() if all(same(row.get(column), value) for column, value in named.where))

    return attrs.evolve(log, read=read)


def _differing(used: Iterable[Roles]) -> Iterator[str]:
    return (name for roles in used for name in roles.differs)


def _of_one_shape(log: Source, notes: list[str]) -> bool:
    """Whether a log is that of a run of one shape. If not, a note says why it is left out."""
    if not log.format.startswith(RUN_FOLDER):
        return True
    plan = plan_of(log.path)
    why = unlike(plan) or (None if plan.get("schedule") is None else "its learning rate falls")
    if why is not None:
        notes.append(f"`{log.path.as_posix()}` is left out: {why.partition(':')[0]}")
    return why is None


def _tables(reading: Reading) -> Iterator[tuple[str, Iterator[Row]]]:
    """The rows of each log, without the cooldown at the end of a run of shapeflow."""
    for log, (name, rows) in zip(reading.logs, reading.tables(), strict=True):
        until = constant_until(plan_of(log.path)) if log.format.startswith(RUN_FOLDER) else float("inf")
        yield name, (row for row in rows if not _after(row, until))


def _after(row: Row, until: float) -> bool:
    step = number(row.get("step"))
    return isinstance(step, float) and step > until


def _roles(reading: Reading, named: Named, report: Report) -> Roles | None:
    """The roles of the columns of a table, with those that the user names. None after an error."""
    before = len(report.errors)
    columns = list(reading.columns)
    roles = roles_of(reading.columns, reading.some(), axis_words())
    changes: dict[str, Any] = {}
    if named.width is not None and _has(named.width, "--width-column", columns, report):
        changes["axes"] = {
            **{axis: name for axis, name in roles.axes.items() if name != named.width},
            WIDTH: named.width,
        }
    if named.loss is not None and _has(named.loss, "--loss-column", columns, report):
        changes["errors"] = (named.loss,)
    for column, _ in named.where:
        _has(column, "--where", columns, report)
    if named.compute is not None:
        factor, product = _product(named.compute, columns)
        if all(_has(name, "--compute", columns, report) for name in product):
            changes |= {"compute": product, "flops": factor}
    roles = attrs.evolve(roles, **changes)
    if len(report.errors) == before:
        _complete(reading, roles, report)
    return roles if len(report.errors) == before else None


def _product(text: str, columns: Sequence[str]) -> tuple[float, tuple[str, ...]]:
    """The factor and the columns of a product."""
    factor, names = 1.0, []
    for part in [text] if text in columns else [part.strip() for part in text.split("*")]:
        value = number(part)
        if part not in columns and isinstance(value, float):
            factor *= value
        else:
            names.append(part)
    return factor, tuple(names)


def _has(name: str, option: str, columns: Sequence[str], report: Report) -> bool:
    if name in columns:
        return True
    close = did_you_mean(name, columns)
    message = f"no column is named `{name}`"
    help = f"did you mean `{close}`?" if close else f"its columns are {_listed(columns)}"
    report.error("missing-column", message, place=option, help=help)
    return False


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in columns[:12]) + (", ..." if len(columns) > 12 else "")


def _complete(reading: Reading, roles: Roles, report: Report) -> None:
    """Report what a table lacks."""
    file, columns = reading.files[0].name, list(reading.columns)
    notes = (f"its columns are {_listed(columns)}" if columns else "it has no rows",)
    if not roles.errors:
        help = "name it with `--loss-column`"
        report.error("missing-column", f"`{file}` has no column of a loss", place=PLACE, notes=notes, help=help)
    elif not roles.compute:
        step = roles.step or "step"
        width = roles.axes.get(WIDTH, WIDTH)
        help = f"write `--compute '{step} * {width}'` if a step costs FLOPs in proportion to the width"
        report.error("missing-column", f"`{file}` has no column of compute", place=PLACE, notes=notes, help=help)
    elif WIDTH not in roles.axes:
        other = f"; its runs differ in {' and '.join(roles.axes)}" if roles.axes else ""
        message = f"`{file}` has no column of the width{other}"
        help = "name the column with `--width-column`: exponents are measured over the width alone"
        report.error("no-width-family", message, place=PLACE, notes=notes, help=help)
    elif roles.moved and roles.where is None:
        message = f"some runs in `{file}` change their {' and '.join(roles.moved)} while they train"
        help = "select the runs of one width each with `--where COLUMN=VALUE`"
        report.error("no-width-family", message, place=PLACE, notes=notes, help=help)


def _alone(curves: Mapping[Key, Run], used: Sequence[Roles], notes: Sequence[str], report: Report) -> bool:
    """Report if the runs are not of one kind and differ in more than the width. Returns whether they do not."""
    losses = dict.fromkeys(roles.errors[0] for roles in used)
    if len(losses) > 1:
        message = f"the logs measure different losses: {', '.join(f'`{name}`' for name in losses)}"
        report.error("no-width-family", message, place=PLACE, help="name one of them with `--loss-column`")
        return False
    if not curves:
        message = "the logs contain no points of runs of one width each"
        help = "name logs with a loss, its compute and the width in each row: `shapeflow doctor` shows their columns"
        report.error("no-width-family", message, place=PLACE, notes=notes, help=help)
        return False
    values: dict[str, set[str]] = {}
    for run in curves.values():
        for axis in run.shape:
            values.setdefault(axis, set()).add(str(run.shape[axis]))
    others = {axis: sorted(found) for axis, found in values.items() if axis != WIDTH and len(found) > 1}
    if others:
        message = f"the runs differ in {' and '.join(others)}, not in width alone"
        picks = (f"--where {used[0].axes.get(axis, axis)}={found[0]}" for axis, found in others.items())
        help = f"select runs that differ in width alone: `{' '.join(picks)}`"
        report.error("no-width-family", message, place=PLACE, help=help)
    return not others
