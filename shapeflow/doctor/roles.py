"""Finds the roles of columns: by name first, else by how their values change from row to row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs

from shapeflow.doctor import names
from shapeflow.doctor.columns import Column
from shapeflow.doctor.facts import Role
from shapeflow.doctor.grouping import FILE, differs_of, runs_of, varied_of, where_of
from shapeflow.laws.logs.columns import COMPUTE, RATE, RUNS, STEP
from shapeflow.laws.logs.readers import Row, number, same

FEW = 12
"""The smallest number of held-out values that is enough for a fit."""
USUAL_ERRORS = ("loss@own", "loss@longest", "classification_error")
"""Columns of errors that shapeflow writes."""


@attrs.frozen(kw_only=True)
class Roles:
    """The roles of the columns of a table."""

    compute: tuple[str, ...] = ()
    """Columns whose product counts compute."""
    flops: float = 1.0
    """FLOPs per unit of the product of these columns."""
    errors: tuple[str, ...] = ()
    """Columns that may be the error, the most likely first."""
    step: str | None = None
    rate: str | None = None
    runs: tuple[str, ...] = ()
    run: str | None = None
    """The column for the setting `run`, if the usual columns do not separate runs."""
    together: tuple[str, ...] = ()
    """Columns that separate runs only in combination. A fit has no setting for this."""
    axes: Mapping[str, str] = attrs.field(factory=dict)
    where: tuple[str, str] | None = None
    """A column and its value that select the runs with a constant shape."""
    moved: tuple[str, ...] = ()
    """Axes that change within runs."""
    differs: tuple[str, ...] = ()
    """Other columns in which runs of the same shape differ."""
    of: Mapping[str, tuple[Role, str]] = attrs.field(factory=dict)
    """Column -> its role, and how the role was found."""

    def takes(self, row: Row) -> bool:
        """Whether a row belongs to a run with a constant shape."""
        return self.where is None or same(row.get(self.where[0]), self.where[1])


def roles_of(columns: Mapping[str, Column], rows: Sequence[Row]) -> Roles:
    """The roles of all columns. `rows`: some of the first rows, in order."""
    of = _named(columns, rows)
    named: dict[Role, list[str]] = {}
    for name, (role, _) in of.items():
        named.setdefault(role, []).append(name)
    axes = _axes(columns, named.get("axis", ()))
    step = _first(named.get("step", ()), STEP) or _counter(columns, rows, of)
    if step is not None:
        of.setdefault(step, ("step", "whole numbers that rise and restart"))
    where, moved = where_of(columns, rows, axes, step, [name for name in named.get("run", ()) if columns[name].few])
    taken = [row for row in rows if where is None or same(row.get(where[0]), where[1])]
    if where is not None:
        axes = varied_of(axes, taken)
    runs, run, together = runs_of(columns, taken, axes, step, named.get("run", ()))
    for name in runs:
        of.setdefault(name, ("run", "it separates the runs"))
    compute, flops = _compute(rows, of, named, step)
    for name in set(named.get("axis", ())) - set(axes.values()):
        of[name] = ("", "")
    falling = _falling(columns, taken, of, step or _first(compute), runs, axes)
    errors = _errors(columns, [*named.get("error", ()), *falling], axes)
    for name in set(named.get("error", ())) - set(errors):
        of[name] = ("", "")
    of.update((name, ("error", "held out, or falling along runs")) for name in falling)
    return Roles(
        compute=compute,
        flops=flops,
        errors=errors,
        step=step,
        rate=_first(named.get("learning rate", ()), RATE),
        runs=runs,
        run=run,
        axes=axes,
        where=where,
        moved=moved,
        together=together,
        differs=differs_of(columns, taken, axes, runs, of),
        of=of,
    )


def _named(columns: Mapping[str, Column], rows: Sequence[Row]) -> dict[str, tuple[Role, str]]:
    """Column -> the role that its name suggests, and how it was found."""
    of = {name: found for name, column in columns.items() if (found := _by_name(column)) is not None}
    if {"C", "N", "D"} <= set(columns) and _product(rows, "C", "N", "D"):
        of.update(C=("compute", "it is 6 N D"), N=("parameters", "C is 6 N D"), D=("tokens", "C is 6 N D"))
    return of


def _first(found: Sequence[str], usual: Sequence[str] = ()) -> str | None:
    """The column that a fit finds by default, else the first."""
    return next((name for name in (*usual, *found) if name in found), None)


def _by_name(column: Column) -> tuple[Role, str] | None:
    """The role that a column's name suggests, if its cells allow it."""
    name, plain = column.name, names.plain(column.name)
    if not column.present:
        return None
    if plain in RUNS or (plain in names.RUNS and column.few):
        return "run", "its name"
    axis = names.axis_of(name)
    if axis is not None and names.is_named(axis) != column.numeric and (not column.numeric or column.whole):
        return "axis", axis
    if not column.numeric:
        return None
    roles: tuple[tuple[Role, bool], ...] = (
        ("step", plain in names.STEPS),
        ("learning rate", plain in names.RATES),
        ("compute", names.flops_of(name) is not None),
        ("tokens", names.TOKENS.fullmatch(plain) is not None),
        ("parameters", names.PARAMETERS.fullmatch(plain) is not None),
        ("error", names.is_error(name)),
        ("accuracy", names.is_good(name)),
        ("time", names.is_time(name)),
    )
    return next(((role, "its name") for role, fits in roles if fits), None)


def _axes(columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
    """Axis -> its column. Of several columns, the one that varies is used, else the first."""
    axes: dict[str, str] = {}
    for name in sorted(found, key=lambda one: columns[one].constant):
        axis = names.axis_of(name)
        if axis is not None and not columns[name].many:
            axes.setdefault(axis, name)
    varied = {axis: name for axis, name in axes.items() if not columns[name].constant}
    # A constant column is used as an axis only if there is no other axis.
    one = {axis: name for axis, name in axes.items() if not names.is_named(axis)}
    return varied or dict(list(one.items())[:1])


def _counter(columns: Mapping[str, Column], rows: Sequence[Row], of: Mapping[str, tuple[Role, str]]) -> str | None:
    """A column that counts steps: whole numbers that rise in nearly all rows and restart in some; None if there is
    none."""
    for name, column in columns.items():
        if name in of or not (column.numeric and column.whole) or column.low < 0 or len(column.values) < 5:
            continue
        values = [value for row in rows if isinstance(value := number(row.get(name)), float)]
        rises = sum(after > before for before, after in pairwise(values))
        if rises >= 0.8 * (len(values) - 1) > 0:
            return name
    return None


def _compute(
    rows: Sequence[Row],
    of: dict[str, tuple[Role, str]],
    named: Mapping[Role, Sequence[str]],
    step: str | None,
) -> tuple[tuple[str, ...], float]:
    """The columns whose product counts compute, and the FLOPs per unit of the product."""
    found = sorted(named.get("compute", ()), key=lambda name: name not in COMPUTE)
    for name in found:
        if _grows(rows, name, step):
            flops = names.flops_of(name) or 1.0
            if flops != 1:
                of[name] = ("compute", f"its name; one unit is {flops:g} FLOPs")
            return (name,), flops
        of[name] = ("", "named like compute, but it does not grow along a run")
    size, data = _first(named.get("parameters", ())), _first(named.get("tokens", ()))
    if size and data and _grows(rows, data, step):
        of[data] = ("tokens", "its name; 6 FLOPs for each parameter and token")
        return (size, data), 6.0
    return (), 1.0


def _grows(rows: Sequence[Row], name: str, step: str | None) -> bool:
    """Whether a column grows whenever the step does."""
    pairs = [(number(row.get(step)) if step else 0.0, number(row.get(name))) for row in rows]
    numbers = [(at, value) for at, value in pairs if isinstance(at, float) and isinstance(value, float)]
    if step is None:
        return any(after[1] != before[1] for before, after in pairwise(numbers))
    steps = [(after[1] - before[1]) for before, after in pairwise(numbers) if after[0] > before[0]]
    return sum(rise > 0 for rise in steps) > 0.9 * len(steps) > 0


def _product(rows: Sequence[Row], c: str, n: str, d: str) -> bool:
    """Whether c = 6 n d in nearly all rows."""
    close = 0
    for row in rows:
        values = [number(row.get(name)) for name in (c, n, d)]
        if all(isinstance(value, float) and value > 0 for value in values):
            total, size, data = (float(value) for value in values)
            close += abs(total / (6 * size * data) - 1) < 0.05
    return close > 0.9 * len(rows) > 0


def _falling(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    of: Mapping[str, tuple[Role, str]],
    along: str | None,
    runs: Sequence[str],
    axes: Mapping[str, str],
) -> list[str]:
    """Columns that are errors judging by their values, not their names: above 0, not whole numbers, and lower at the
    end of most runs than at the start."""
    keys = [FILE, *axes.values(), *runs]
    last_resort = not any(role == "error" for role, _ in of.values())

    def at(row: Row) -> float:
        value = number(row.get(along)) if along else 0.0
        return value if isinstance(value, float) and math.isfinite(value) else 0.0

    order = sorted(rows, key=at) if along else rows
    found: list[str] = []
    for name, column in columns.items():
        fits = names.is_held_out(name) or (last_resort and names.may_be_error(name))
        if name in of or not column.numeric or column.whole or column.low <= 0 or not fits:
            continue
        curves: dict[tuple[str, ...], list[float]] = {}
        for row in order:
            if isinstance(value := number(row.get(name)), float):
                curves.setdefault(tuple(str(row.get(key)) for key in keys), []).append(value)
        long = [values for values in curves.values() if len(values) >= 5]
        falls = sum(sum(values[-2:]) < sum(values[:2]) for values in long)
        if falls > 0.5 * len(long) > 0:
            found.append(name)
    held_out = [name for name, column in columns.items() if names.is_held_out(name) and name not in of]
    # If runs are not separated, values may not fall: use the name instead.
    return found or [name for name in held_out if columns[name].numeric and last_resort]


def _errors(columns: Mapping[str, Column], found: Sequence[str], axes: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that may be the error, the most likely first: held-out before training, then in the order in which a
    fit looks for them, then averaged weights before raw. Held-out values are logged less often than training losses, so
    a few of them are enough."""

    def key(name: str) -> tuple[int, ...]:
        column = columns[name]
        full = max(columns[other].numbers for other in found)
        training = not {"train", "training"}.isdisjoint(names.words(name))
        return (
            column.numbers < (min(full // 2, FEW) if names.is_held_out(name) else full // 2),
            not names.is_held_out(name),
            (*USUAL_ERRORS, name).index(name),
            training,
            "raw" in names.words(name),
        )

    usable = [name for name in found if name not in axes.values() and columns[name].high > 0]
    return tuple(sorted(usable, key=key))
