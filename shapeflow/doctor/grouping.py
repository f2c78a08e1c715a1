"""Which rows belong to one run, and which runs have a constant shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from shapeflow.doctor import names
from shapeflow.doctor.columns import Column
from shapeflow.doctor.facts import Role
from shapeflow.laws.logs.columns import RUNS
from shapeflow.laws.logs.readers import Row, number

FILE = "\0file"
"""The key under which a row stores its file, or the run of that file. Rows with different values never belong to one
run."""

RESUMED = 0.02
"""The largest share of repeated steps that a resumed run explains. With more, the rows belong to several runs."""
MUCH = 0.5
"""A column separates runs if it reduces the number of rows with repeated steps to less than this share."""


def varied_of(axes: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    """The axes that vary in these rows; the first axis if none varies."""
    found = {axis: name for axis, name in axes.items() if len({str(row.get(name)) for row in rows}) > 1}
    return found or dict(list(axes.items())[:1])


def runs_of(
    columns: Mapping[str, Column], rows: Sequence[Row], axes: Mapping[str, str], step: str | None, named: Sequence[str]
) -> tuple[tuple[str, ...], str | None, tuple[str, ...]]:
    """Find the columns that separate runs. Returns the columns to use; the best single column, if the usual ones do not
    separate runs; and columns that separate runs better in combination."""
    usual = tuple(name for name in RUNS if name in columns)
    if step is None:
        return usual, None, ()
    others = [name for name in named if name not in usual]
    others += [name for name, column in columns.items() if column.few and name not in (*others, *usual, *axes.values())]
    errors = [name for name in columns if names.is_error(name) or names.is_held_out(name)]
    shapes = tuple(axes.values())

    def mixed(keys: Sequence[str]) -> int:
        return _mixed(rows, step, keys, errors)

    at_first = least = mixed((*usual, *shapes))
    best: str | None = None
    together: tuple[str, ...] = ()
    if least <= RESUMED * len(rows):
        return usual, None, ()
    for name in others:
        if (count := mixed((name, *shapes))) < min(least, MUCH * at_first):
            best, least = name, count
    if least and usual:
        both = (name for name in others if mixed((name, *usual, *shapes)) < MUCH * least)
        together = next(((name, *usual) for name in both), ())
    return ((best,), best, together) if best else (usual, None, together)


def _mixed(rows: Sequence[Row], step: str, keys: Sequence[str], errors: Sequence[str]) -> int:
    """The number of rows whose step is not above every earlier step of the same run. Rows that record different errors
    may share a step."""
    last: dict[tuple[str, ...], float] = {}
    count = 0
    for row in rows:
        value = number(row.get(step))
        if isinstance(value, float) and math.isfinite(value):
            measured = (name for name in errors if number(row.get(name)) != "blank")
            key = (*(str(row.get(name)) for name in (FILE, *keys)), *measured)
            highest = last.get(key, -math.inf)
            count += value <= highest
            last[key] = max(value, highest)
    return count


def where_of(
    columns: Mapping[str, Column], rows: Sequence[Row], axes: Mapping[str, str], step: str | None, runs: Sequence[str]
) -> tuple[tuple[str, str] | None, tuple[str, ...]]:
    """A column and a value that select the runs with a constant shape, and the axes that change in other runs."""
    if all(name == "seed" for name in runs):
        return None, ()

    shapes: dict[tuple[str, ...], dict[str, set[str]]] = {}
    last: dict[tuple[str, ...], float] = {}
    several: set[tuple[str, ...]] = set()
    for row in rows:
        run, at = tuple(str(row.get(name)) for name in (FILE, *runs)), number(row.get(step)) if step else 0.0
        if isinstance(at, float):
            # If steps decrease, several runs share this name; no single run changes its shape.
            several |= {run} if at < last.get(run, -math.inf) else set()
            last[run] = at
        seen = shapes.setdefault(run, {axis: set() for axis in axes})
        for axis, name in axes.items():
            seen[axis].add(str(row.get(name)))
    for run in several:
        del shapes[run]
    moved = tuple(axis for axis in axes if any(len(seen[axis]) > 1 for seen in shapes.values()))
    still = {name for name, seen in shapes.items() if all(len(values) == 1 for values in seen.values())}
    if not moved or not still:
        return None, moved
    kept = {tuple(next(iter(values)) for values in shapes[name].values()) for name in still}
    labels = [run if (run := tuple(str(row.get(name)) for name in (FILE, *runs))) in still else None for row in rows]
    best = max(
        (
            (kinds, -len(column.values), name, value)
            for name, column in columns.items()
            if not column.numeric and column.few and name not in axes.values()
            for value, kinds in _kinds(name, rows, labels, axes)
        ),
        default=(0, 0, "", ""),
    )
    # Do not select a single shape where runs of other shapes are constant too.
    return (best[2:] if best[0] > 1 or best[0] == len(kept) else None), moved


def _kinds(
    name: str, rows: Sequence[Row], labels: Sequence[tuple[str, ...] | None], axes: Mapping[str, str]
) -> Iterator[tuple[str, int]]:
    """Yield the values of a column that select whole runs with a constant shape, each with its number of shapes.
    `labels`: the run of each row; None if the shape of that run changes."""
    shapes: dict[str, set[tuple[str, ...]] | None] = {}
    value_of: dict[tuple[str, ...], str] = {}
    for row, label in zip(rows, labels, strict=True):
        cell = str(row.get(name)).strip()
        if label is None or value_of.setdefault(label, cell) != cell:
            shapes[cell] = None
        elif (found := shapes.setdefault(cell, set())) is not None:
            found.add(tuple(str(row.get(axis)) for axis in axes.values()))
    yield from ((cell, len(found)) for cell, found in shapes.items() if found and cell not in ("", "None"))


def differs_of(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    axes: Mapping[str, str],
    runs: Sequence[str],
    of: Mapping[str, tuple[Role, str]],
) -> tuple[str, ...]:
    """Columns that are constant in every run but differ between runs of the same shape, such as the learning rate in a
    sweep."""
    found: list[str] = []
    for name, column in columns.items():
        rate = of.get(name, ("", ""))[0] == "learning rate"
        if (
            not column.few
            or (name in runs and not rate)
            or name in axes.values()
            or of.get(name, ("", ""))[0] not in ("", "learning rate")
        ):
            continue
        of_run: dict[tuple[str, ...], set[str]] = {}
        of_shape: dict[tuple[str, ...], set[str]] = {}
        for row in rows:
            shape = tuple(str(row.get(axis)) for axis in axes.values())
            of_shape.setdefault(shape, set()).add(str(row.get(name)))
            of_run.setdefault((*shape, *(str(row.get(run)) for run in (FILE, *runs))), set()).add(str(row.get(name)))
        if all(len(values) == 1 for values in of_run.values()) and any(len(values) > 1 for values in of_shape.values()):
            found.append(name)
    return tuple(found)
