"""Which rows belong to one run, and which runs have a constant shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import FILE, RUNS, Found
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.readers import Row, number

RESUMED = 0.02
"""The largest share of repeated steps that a resumed run explains. With more, the rows belong to several runs."""
MUCH = 0.5
"""Columns separate runs if they reduce the number of rows with repeated steps to less than this share."""
SHUFFLED = 0.05
"""The largest share of rows after which the step falls, in a table whose rows are in order."""
TRUE = {"1", "true", "yes", "1.0"}
FLAGS = ({"0", "1"}, {"true", "false"}, {"yes", "no"}, {"0.0", "1.0"})
OF_FLAGS = {"is", "eval", "evaluation", "val", "validation", "held", "out", "heldout", "test"}
"""Words of a column of flags that says whether a row was measured on held-out data."""
SPLITS = 6
"""The largest number of kinds of data that rows may be of."""
OF_KINDS = {
    "dataset", "datasets", "data", "task", "tasks", "domain", "domains", "corpus", "corpora", "subset", "benchmark",
    "split", "splits", "eval", "evaluation", "val", "validation", "test", "language", "lang", "category", "source",
    "set", "phase", "mode", "kind", "type", "evaluator", "evalset", "valset", "testset", "bench", "dev",
}  # fmt: skip
"""Words of a column that says which data the error of a row was measured on."""
PLACE = ("run", "step", "tokens", "samples", "compute", "parameters", "epochs")
"""Roles of columns that identify a run, or say how far it is."""
TOGETHER = 4
"""The largest number of columns that separate runs together."""
PROGRESS = ("error", "step", "epochs", "tokens", "samples", "compute", "time", "accuracy", "rate")
"""Roles of columns that change along a run, and so do not identify it."""


def varied_of(axes: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    """The axes that vary in these rows; the first axis if none varies."""
    found = {axis: name for axis, name in axes.items() if len({str(row.get(name)) for row in rows}) > 1}
    return found or dict(list(axes.items())[:1])


def runs_of(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    axes: Mapping[str, str],
    step: str | None,
    named: Sequence[str],
    of: Mapping[str, Found],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the columns that separate runs. Returns the columns to use, and those for the setting `run` if the usual
    columns do not separate runs."""
    usual = tuple(name for name in RUNS if name in columns)
    if step is None:
        return usual, ()
    others = [name for name in (*usual, *named) if columns[name].few or name in usual]
    others += [name for name, column in columns.items() if column.few and not column.numeric]
    others += [name for name, column in columns.items() if column.few]
    fixed = {name for name in others if of.get(name, Found()).role not in PROGRESS} - set(axes.values())
    others = [name for name in dict.fromkeys(others) if name in fixed]
    errors = [name for name in columns if words.is_error(name) or words.is_held_out(name)]
    shapes = tuple(axes.values())
    ordered = _in_order(rows, step, (FILE, *usual, *shapes), errors)

    def mixed(keys: Sequence[str]) -> int:
        return _mixed(rows, step, (FILE, *keys, *shapes), errors, ordered)

    at_first = mixed(usual)
    if at_first <= RESUMED * len(rows):
        return usual, ()
    chosen: list[str] = []
    least = mixed(())
    while least > RESUMED * len(rows) and len(chosen) < TOGETHER:
        counts = {name: mixed((*chosen, name)) for name in others if name not in chosen}
        best = min(counts, key=counts.__getitem__, default=None)
        if best is None or counts[best] >= least:
            break
        chosen, least = [*chosen, best], counts[best]
    if least >= MUCH * at_first:
        return usual, ()
    needed = {name for name in chosen if mixed([other for other in chosen if other != name]) > least}
    found = tuple(name for name in columns if name in needed)
    return found, found


def _in_order(rows: Sequence[Row], step: str, keys: Sequence[str], errors: Sequence[str]) -> bool:
    """Whether the rows of a run are in the order of its steps, apart from the beginnings of other runs."""
    last: dict[tuple[str, ...], float] = {}
    falls = 0
    for key, value in _steps(rows, step, keys, errors):
        falls += value < last.get(key, -math.inf)
        last[key] = value
    return falls <= SHUFFLED * len(rows)


def _steps(
    rows: Sequence[Row], step: str, keys: Sequence[str], errors: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the run and the step of each row. Rows that record different errors may share a step."""
    for row in rows:
        value = number(row.get(step))
        if isinstance(value, float) and math.isfinite(value):
            measured = (name for name in errors if number(row.get(name)) != "blank")
            yield (*(str(row.get(name)) for name in keys), *measured), value


def _mixed(rows: Sequence[Row], step: str, keys: Sequence[str], errors: Sequence[str], ordered: bool) -> int:
    """The number of rows whose step does not continue their run: it is not above every earlier step or, if rows are not
    in order, it was there before."""
    last: dict[tuple[str, ...], float] = {}
    seen: set[tuple[tuple[str, ...], float]] = set()
    count = 0
    for key, value in _steps(rows, step, keys, errors):
        if ordered:
            highest = last.get(key, -math.inf)
            count += value <= highest
            last[key] = max(value, highest)
        else:
            count += (key, value) in seen
            seen.add((key, value))
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


def split_of(columns: Mapping[str, Column], rows: Sequence[Row], errors: Sequence[str]) -> tuple[str, str] | None:
    """A column of texts such as `train` and `val` whose rows hold errors of each kind in one column, and its value for
    held-out data. None without one."""
    for name, column in columns.items():
        if column.many or not 1 < len(column.values) <= SPLITS or (held := _held_out_in(column)) is None:
            continue
        kinds = [{str(row.get(name)).strip() for row in rows if number(row.get(error)) != "blank"} for error in errors]
        if any(held[0] in kind and not kind.isdisjoint(held[1]) for kind in kinds):
            return name, held[0]
    return None


def kinds_of(
    columns: Mapping[str, Column], rows: Sequence[Row], of: Mapping[str, Found], errors: Sequence[str]
) -> tuple[str, tuple[str, ...]] | None:
    """A column such as `dataset` in which rows differ at one place of a run, and its values: the rows hold errors on
    several kinds of data. None without one. What identifies a run or says how far it is makes the place."""
    place = [name for name, one in of.items() if one.role in PLACE or one.role == "axis"]
    errors = [name for name in errors if name in columns]
    for name, column in columns.items():
        if not column.few or name in place or OF_KINDS.isdisjoint(words.words(name)):
            continue
        kinds: dict[tuple[str, ...], set[str]] = {}
        for row in rows:
            if any(number(row.get(error)) != "blank" for error in errors) and row.get(name) is not None:
                kinds.setdefault(tuple(str(row.get(one)) for one in (FILE, *place)), set()).add(str(row[name]).strip())
        if kinds and sum(len(found) > 1 for found in kinds.values()) > 0.5 * len(kinds):
            return name, tuple(sorted(set().union(*kinds.values())))
    return None


def _held_out_in(column: Column) -> tuple[str, set[str]] | None:
    """The value of a column that stands for held-out data, and those that stand for training data."""
    values = {value: value.lower() for value in column.values}
    if set(values.values()) in FLAGS:
        flags = {truth: value for value, low in values.items() for truth in (low in TRUE,)}
        if set(words.words(column.name)) <= {*OF_FLAGS, "train", "training"} and words.is_training(column.name):
            return flags[False], {flags[True]}
        if set(words.words(column.name)) <= OF_FLAGS or (
            words.is_held_out(column.name) and words.words(column.name)[0] == "is"
        ):
            return flags[True], {flags[False]}
        return None
    if column.numeric:
        return None
    held = [value for value, low in values.items() if words.is_held_out(value) or low in ("ev", "te", "vl")]
    trained = {value for value, low in values.items() if words.is_training(value) or low in ("tr", "trn")}
    return (held[0], trained) if held and trained else None


def differs_of(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    axes: Mapping[str, str],
    runs: Sequence[str],
    of: Mapping[str, Found],
) -> tuple[str, ...]:
    """Columns that are constant in every run but differ between runs of the same shape, such as the learning rate in a
    sweep."""
    found: list[str] = []
    for name, column in columns.items():
        role = of.get(name, Found()).role
        if (
            not column.few
            or (name in runs and role != "learning rate" and not words.is_learning_rate(name))
            or name in axes.values()
            or (role not in ("", "learning rate", "parameters") and name not in runs)
        ):
            continue
        of_run: dict[tuple[str, ...], set[str]] = {}
        of_shape: dict[tuple[str, ...], set[str]] = {}
        for row in rows:
            if row.get(name) is None:
                continue
            shape = tuple(str(row.get(axis)) for axis in axes.values())
            of_shape.setdefault(shape, set()).add(str(row.get(name)))
            of_run.setdefault((*shape, *(str(row.get(run)) for run in (FILE, *runs))), set()).add(str(row.get(name)))
        if all(len(values) == 1 for values in of_run.values()) and any(len(values) > 1 for values in of_shape.values()):
            found.append(name)
    return tuple(found)
