"""Finds the roles of columns, by their names and by how their values change along the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.finding.by_name import FILE, MAY_BE_RATE, RISES, RUNS, UNSTATED, Found, named
from shapeflow.laws.logs.finding.doubts import LOGGED, Doubt, doubt_of, overall_of
from shapeflow.laws.logs.finding.grouping import differs_of, kinds_of, runs_of, split_of, varied_of, where_of
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.values import (
    anneals,
    counts_up,
    falls_along,
    groups,
    grows,
    hardly_grows,
    lags,
    numbers_of,
    varies,
)
from shapeflow.laws.logs.finding.words import Role
from shapeflow.laws.logs.readers import Row, number, same
from shapeflow.laws.logs.readers.wandb import OF_RUNS

COMPUTE = ("compute", "flops", "total_flos")
STEP = ("step", "steps", "global_step", "train/global_step", "trainer/global_step", "Step")
RATE = ("learning_rate", "lr", "train/learning_rate", "train/lr")
FEWEST = 5
"""The smallest number of values of a counter."""
FEW = 12
"""The smallest number of held-out values that is enough for a fit."""
LEAST_FLOPS = 1e10
"""A column `C` that reaches this counts FLOPs, in the notation of papers on scaling laws."""
LEAST_PARAMETERS = 1000.0
"""A smaller number of parameters is in a unit that its name does not state."""
CREATED = "Created"
STILL = "named like compute, but it does not grow along a run"
SPEED = "named like compute, but it hardly grows along runs: FLOPs per second"
LAGS = "named like compute, but it rises by far less than the run goes on: FLOPs per second, or begun before the run"
AGGREGATED = {
    "raw",
    "best",
    "min",
    "max",
    "ema",
    "smooth",
    "smoothed",
    "avg",
    "average",
    "running",
    "rolling",
    "median",
}
"""Words of errors that are not the last value of the metric itself."""
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
    doubt: Doubt | None = None
    """Why the column of steps may count something else."""
    epochs: str | None = None
    tokens: str | None = None
    samples: str | None = None
    """Columns of progress that are not steps."""
    counters: tuple[str, ...] = ()
    """Columns that rise along the runs and whose names do not say what they count."""
    rate: str | None = None
    schedules: tuple[str, ...] = ()
    """Without a learning rate: columns of no known name that fall as one does."""
    runs: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    """The columns for the setting `run`, if the usual columns do not separate runs."""
    ends: bool = False
    """Whether each row is the end of a run of its own."""
    axes: Mapping[str, str] = attrs.field(factory=dict)
    where: tuple[str, str] | None = None
    """A column and its value that select the runs with a constant shape."""
    chosen: bool = False
    """Whether `where` selects one of several learning rates."""
    split: tuple[str, str] | None = None
    """A column that tells rows of held-out errors from others, and its value for them."""
    kinds: tuple[str, tuple[str, ...]] | None = None
    """A column that tells rows of errors on several kinds of data apart, and its values: one of them is the metric."""
    moved: tuple[str, ...] = ()
    """Axes that change within runs."""
    unshaped: tuple[str, ...] = ()
    """Columns in which runs differ although no axis does: one of them may be the axis."""
    differs: tuple[str, ...] = ()
    """Other columns in which runs of the same shape differ."""
    of: Mapping[str, Found] = attrs.field(factory=dict)
    """Column -> its role, and how the role was found."""

    def takes(self, row: Row) -> bool:
        """Whether a row belongs to a run with a constant shape."""
        return self.where is None or same(row.get(self.where[0]), self.where[1])


def roles_of(columns: Mapping[str, Column], rows: Sequence[Row], words_of_axes: AxisWords) -> Roles:
    """The roles of all columns. `rows`: some of the first rows, in order."""
    of = named(columns, rows, words_of_axes)
    by_role: dict[Role, list[str]] = {}
    for name, found in of.items():
        by_role.setdefault(found.role, []).append(name)
    axes = _axes(columns, by_role.get("axis", ()), words_of_axes)
    called = [name for name in by_role.get("run", ()) if columns[name].few]
    step = _step(columns, rows, of, by_role.get("step", ()), [FILE, *called, *axes.values()])
    counters = _counters(columns, rows, of, [FILE, *called, *axes.values()])
    # What rises shows the order of the rows of a run, whatever it counts.
    along = step or next(iter(counters), None)
    where, moved = where_of(columns, rows, axes, along, called)
    split = split_of(columns, rows, by_role.get("error", ()))
    where = where or split
    of.update({split[0]: Found("", "it tells held-out errors from others")} if split else {})
    taken = [row for row in rows if where is None or same(row.get(where[0]), where[1])]
    if where is not None:
        axes = varied_of(axes, taken)
    kinds = kinds_of(columns, taken, of, by_role.get("error", ()))
    each = _each(columns, taken, by_role.get("run", ()))
    if each and step == LOGGED and by_role.get("tokens"):
        # The last count of a logger's calls is no number of steps.
        step = None
    usual = tuple(name for name in RUNS if name in columns)
    runs, run = ((each,), ()) if each else runs_of(columns, taken, axes, along, by_role.get("run", ()), of)
    # A number of parameters that tells runs apart is still the size of their models.
    apart = [name for name in runs if name not in (*usual, each) and of.get(name, Found()).role != "parameters"]
    of.update((name, Found("run", "it separates the runs")) for name in apart)
    keys = [FILE, *axes.values(), *runs]
    compute, flops = _compute(taken, of, by_role, None if each else along, along, [FILE] if each else keys)
    of.update((name, Found()) for name in set(by_role.get("axis", ())) - set(axes.values()))
    errors = _errors_of(columns, taken, of, by_role.get("error", ()), along or next(iter(compute), None), axes, keys)
    # Where a row is a whole run, its progress differs between the rows.
    within = [FILE] if each else keys
    rivals = [name for name in by_role.get("step", ()) if name not in (step, LOGGED) and of[name].role == "step"]
    progress = {role: _progress(taken, by_role.get(role, ()), within) for role in ("epochs", "tokens", "samples")}
    differs = differs_of(columns, taken, axes, runs, of)
    rate = _rate(taken, of, by_role.get("learning rate", ()), keys)
    schedules = () if rate or each else _schedules(columns, taken, of, along, keys)
    if (likely := next((name for name in schedules if words.could_be_learning_rate(name)), None)) is not None:
        of[likely] = Found("learning rate", "its name and its values, which fall as those of a schedule do", "guess")
        rate, schedules = likely, ()
    # Columns that separate runs, and are not the names of runs.
    unnamed = [name for name in run if name not in by_role.get("run", ()) and not words.is_learning_rate(name)]
    unshaped = () if each else _unshaped(columns, axes, [*differs, *unnamed], of)
    return Roles(
        compute=compute,
        flops=flops,
        errors=errors,
        step=step,
        doubt=None if step is None else doubt_of(columns, taken, step, rivals, within),
        epochs=progress["epochs"],
        tokens=progress["tokens"],
        samples=progress["samples"],
        counters=() if each else tuple(name for name in counters if not of[name].role),
        rate=rate,
        schedules=schedules,
        runs=runs,
        run=run,
        ends=each is not None,
        axes={} if unshaped else axes,
        unshaped=unshaped,
        where=where,
        split=split,
        kinds=kinds,
        moved=moved,
        differs=differs,
        of=of,
    )


def _axes(columns: Mapping[str, Column], found: Sequence[str], of_axes: AxisWords) -> dict[str, str]:
    """Axis -> its column. Of several columns, the one that varies is used, else the first."""
    axes: dict[str, str] = {}
    for name in sorted(found, key=lambda one: columns[one].constant):
        axis = of_axes.of(name)
        if axis is not None and not columns[name].many:
            axes.setdefault(axis, name)
    varied = {axis: name for axis, name in axes.items() if not columns[name].constant}
    # A constant column is used as an axis only if there is no other axis.
    one = {axis: name for axis, name in axes.items() if axis not in of_axes.named}
    return varied or dict(list(one.items())[:1])


def _unshaped(
    columns: Mapping[str, Column], axes: Mapping[str, str], differs: Sequence[str], of: Mapping[str, Found]
) -> tuple[str, ...]:
    """Columns that differ between runs of one shape and may be what the shapes differ in: numbers of parameters, and,
    if no axis varies, other columns that are neither names of runs nor learning rates."""
    sizes = tuple(name for name in differs if of.get(name, Found()).role == "parameters")
    if sizes or any(not columns[name].constant for name in axes.values()):
        return sizes
    known = {name for name in differs if name in RUNS or words.is_setting(name)}
    known |= {name for name in differs if of.get(name, Found()).role == "learning rate"}
    return tuple(dict.fromkeys(name for name in (*differs, *sizes) if name not in known or name in sizes))


def _step(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    of: dict[str, Found],
    found: Sequence[str],
    keys: Sequence[str],
) -> str | None:
    """The column of steps, by its name."""
    moving = [name for name in found if varies(rows, name, keys)]
    likely = [name for name in moving if not words.is_setting(name) and name != LOGGED]
    order = [*(name for name in STEP if name in moving), *likely, LOGGED, *moving, *(n for n in STEP if n in found)]
    step = next((name for name in order if name in found), None)
    if step is not None and step != LOGGED:
        step = overall_of(rows, step, [name for name in moving if name not in (step, LOGGED)], keys)
    for name in found:
        if name != step and (name not in moving or (words.is_setting(name) and not counts_up(rows, name, keys))):
            of[name] = Found("", "a setting: it does not change along a run")
    if step is not None and not of[step].role:
        of[step] = Found("step", "its name", "guess")
    return step


def _counters(
    columns: Mapping[str, Column], rows: Sequence[Row], of: dict[str, Found], keys: Sequence[str]
) -> list[str]:
    """Columns of no known name whose values rise in nearly all rows: they count something. Those that an axis is called
    like are among them."""
    found = [name for name, one in of.items() if one.why == RISES]
    found += [name for name, one in of.items() if one.why == UNSTATED and counts_up(rows, name, keys)]
    for name, column in columns.items():
        if name in of or not column.numeric or column.low < 0 or len(column.values) < FEWEST:
            continue
        values = numbers_of(rows, name)
        rises = sum(after > before for before, after in pairwise(values))
        if rises >= 0.8 * (len(values) - 1) > 0 and len(set(values)) >= FEWEST:
            of[name] = Found("", RISES)
            found.append(name)
    # Whole numbers count rather than others do.
    return sorted(found, key=lambda name: (words.numbers_rows(name), not columns[name].whole))


def _each(columns: Mapping[str, Column], rows: Sequence[Row], called: Sequence[str]) -> str | None:
    """A column of names of runs that is different in every row; None if there is none. In a table of W&B runs, names
    may be given twice, and the times at which runs were created are not."""
    texts = [name for name in called if not columns[name].numeric] if len(rows) > 3 else []
    texts += [CREATED] if len(rows) > 3 and {*OF_RUNS, CREATED} <= columns.keys() else []
    return next((name for name in texts if len(groups(rows, [FILE, name])) == len(rows)), None)


def _progress(rows: Sequence[Row], found: Sequence[str], keys: Sequence[str]) -> str | None:
    """The first column of progress that changes along a run; what is called a total first."""
    moving = [name for name in found if varies(rows, name, keys)]
    return min(moving, key=lambda name: not words.is_setting(name), default=None)


def _rate(rows: Sequence[Row], of: dict[str, Found], found: Sequence[str], keys: Sequence[str]) -> str | None:
    """The column of the learning rate: one that changes along runs, or one that is not called a setting."""
    order = [*(name for name in RATE if name in found), *found]
    moving = [name for name in order if varies(rows, name, keys)]
    for name in found:
        if name not in moving and words.is_setting(name) and of[name].role == "learning rate":
            of[name] = Found("", "a setting: it does not change along a run")
    still = [name for name in order if of[name].role == "learning rate"]
    # What moves tells more than a peak that every row repeats.
    return next(iter([*moving, *(name for name in RATE if name in found), *still]), None)


def _schedules(
    columns: Mapping[str, Column], rows: Sequence[Row], of: Mapping[str, Found], along: str | None, keys: Sequence[str]
) -> tuple[str, ...]:
    """Columns that fall along runs as a learning rate does, and that nothing else is known of."""
    found = [name for name, one in columns.items() if one.numeric and 0 <= one.low < one.high <= MAY_BE_RATE]
    unknown = [name for name in found if not of.get(name, Found()).role and words.may_be_error(name)]
    unknown += [name for name in found if words.could_be_learning_rate(name) and name not in unknown]
    return tuple(name for name in unknown if not words.is_error(name) and anneals(rows, name, along, keys))


def _compute(
    rows: Sequence[Row],
    of: dict[str, Found],
    by_role: Mapping[Role, Sequence[str]],
    step: str | None,
    progress: str | None,
    keys: Sequence[str],
) -> tuple[tuple[str, ...], float]:
    """The columns whose product counts compute, and the FLOPs per unit of the product. `step`: what orders the rows of
    a run; `progress`: the same, or what tells the lengths of runs that have a row each."""
    for name in sorted(by_role.get("compute", ()), key=lambda name: name not in COMPUTE):
        if words.may_be_flops_per_second(name) and hardly_grows(rows, name, progress, keys):
            of[name] = Found("rate", SPEED)
            continue
        if grows(rows, name, step, keys):
            if step is not None and lags(rows, name, step, keys):
                of[name] = Found("", LAGS)
                continue
            flops = words.flops_of(name) or 1.0
            if flops != 1:
                of[name] = Found("compute", f"its name; one unit is {flops:g} FLOPs")
            return (name,), flops
        of[name] = Found("", STILL)
    slow = step is not None and lags(rows, "C", step, keys)
    if not of.get("C", Found()).role and _is_flops(rows, keys) and not slow:
        of["C"] = Found("compute", f"numbers above {LEAST_FLOPS:g} that rise along the runs", "guess")
        return ("C",), 1.0
    size = size_of(by_role.get("parameters", ()), rows)
    data = next((name for name in by_role.get("tokens", ()) if grows(rows, name, step, keys)), None)
    if size and data:
        of[data] = attrs.evolve(of[data], why=f"{of[data].why}; 6 FLOPs for each parameter and token")
        return (size, data), 6.0 * words.count_of(data) * words.count_of(size)
    return (), 1.0


def size_of(found: Sequence[str], rows: Sequence[Row]) -> str | None:
    """The column of the parameters of a model that compute depends on: the active ones of a mixture of experts, which
    is not known from their total. None if there is none."""
    sizes = sorted((name for name in found if may_be_size(name, rows)), key=lambda name: not words.is_active(name))
    named = [name for name in dict.fromkeys(name for row in rows for name in row) if "experts" in words.words(name)]
    experts = any(max(numbers_of(rows, name), default=0.0) > 1 for name in named)
    return None if experts and sizes and not words.is_active(sizes[0]) else next(iter(sizes), None)


def other_sizes(chosen: Sequence[str], of: Mapping[str, Found], columns: Mapping[str, Column]) -> list[str]:
    """The columns of parameters that are not among the chosen ones, and hold other numbers than those."""
    used = [columns[name].values for name in chosen if of.get(name, Found()).role == "parameters"]
    found = [name for name, one in of.items() if one.role == "parameters" and name not in chosen]
    return [name for name in found if used and all(columns[name].values != values for values in used)]


def small_size(of: Mapping[str, Found], rows: Sequence[Row]) -> str | None:
    """A column of parameters that are too few to be single ones; None if there is none."""
    return next((name for name, one in of.items() if one.role == "parameters" and not may_be_size(name, rows)), None)


def may_be_size(name: str, rows: Sequence[Row]) -> bool:
    """Whether a number of parameters, with the unit that its name states, is one that a model has."""
    found = [each for each in numbers_of(rows, name) if each > 0]
    # Models of 70 to 12,000 are of millions of parameters.
    return min(found, default=0.0) * words.count_of(name) >= LEAST_PARAMETERS


def _is_flops(rows: Sequence[Row], keys: Sequence[str]) -> bool:
    """Whether a column `C` counts FLOPs by its values."""
    return max(numbers_of(rows, "C"), default=0.0) > LEAST_FLOPS and counts_up(rows, "C", keys)


def _errors_of(
    columns: Mapping[str, Column],
    rows: Sequence[Row],
    of: dict[str, Found],
    found: Sequence[str],
    along: str | None,
    axes: Mapping[str, str],
    keys: Sequence[str],
) -> tuple[str, ...]:
    """The columns that may be the error, the most likely first. Columns that are errors judging by their values, not
    their names, are above 0, not whole numbers, and lower at the end of most runs than at the start."""
    last_resort = not any(one.role == "error" for one in of.values())
    held = [
        name
        for name in columns
        if words.is_held_out(name) and words.may_be_error(name) and not of.get(name, Found()).role
    ]
    falling: list[str] = []
    for name, column in columns.items():
        fits = name in held or (last_resort and words.may_be_error(name) and not of.get(name, Found()).role)
        if fits and column.numeric and not column.whole and column.low > 0 and falls_along(rows, name, along, keys):
            falling.append(name)
    # If runs are not separated, values may not fall: use the name instead.
    falling = falling or [name for name in held if columns[name].numeric and last_resort]
    errors = _ordered(columns, rows, [*found, *falling], axes)
    of.update((name, Found()) for name in set(found) - set(errors))
    of.update((name, Found("error", "held out, or falling along runs", "guess")) for name in falling)
    return errors


def _ordered(
    columns: Mapping[str, Column], rows: Sequence[Row], found: Sequence[str], axes: Mapping[str, str]
) -> tuple[str, ...]:
    """The columns that may be the error, the most likely first: held-out before training, then those of most files,
    then those that shapeflow writes, then averaged weights before raw. Held-out values are logged less often than
    training losses, so a few of them are enough."""

    def key(name: str) -> tuple[int, ...]:
        column = columns[name]
        full = max(columns[other].numbers for other in found)
        return (
            column.numbers < (min(full // 2, FEW) if words.is_held_out(name) else full // 2),
            not words.is_held_out(name),
            -files[name],
            (*USUAL_ERRORS, name).index(name),
            words.is_training(name),
            not AGGREGATED.isdisjoint(words.words(name)),
        )

    usable = [name for name in found if name not in axes.values() and columns[name].high > 0]
    files = dict.fromkeys(usable, 0)
    for each in groups(rows, [FILE]) if len(usable) > 1 else []:
        for name in usable:
            files[name] += any(isinstance(number(row.get(name)), float) for row in each)
    return tuple(sorted(usable, key=key))
