"""Advice on problems of logs: what is wrong, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shapeflow.base.units import flops
from shapeflow.doctor import names
from shapeflow.doctor.facts import CurveFacts, Cut, FileFacts
from shapeflow.doctor.places import short_in
from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.batches import Amount, per_step, stated
from shapeflow.laws.logs.counter import rivals, times
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import FILE
from shapeflow.laws.logs.finding.roles import Roles, other_sizes, small_size
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.unshaped import unshaped_runs
from shapeflow.laws.logs.processes import processes_of, ways_of_compute, ways_of_step, why_of_one
from shapeflow.laws.logs.progress import unnamed_counter, unstated_size
from shapeflow.laws.logs.refusals import which_kind
from shapeflow.laws.logs.series import Product, Progress


def advice_of(
    reading: Reading, roles: Roles, facts: CurveFacts | None, epochs: Mapping[str, Progress], proposed: bool
) -> Iterator[str]:
    """Problems, and how to fix them. `epochs`: file -> what counts its steps, if a configuration says so; `proposed`:
    whether there are sentences."""
    columns, wide, pattern = reading.columns, reading.wide, reading.pattern
    yield from _of_files(reading.files)
    if len(reading.numerals) > 1:
        settings = " or ".join(f"`numbers: {one}`" for one in reading.numerals)
        yield f"numbers have commas, or dots that may stand between thousands: state how they are written, {settings}"
    perplexity = next((name for name in columns if words.is_perplexity(name)), None)
    if not roles.errors and perplexity is not None:
        yield f"no column holds an error: the loss is the natural logarithm of `{perplexity}`: add a column of it"
    elif not roles.errors and (scaled := next(filter(words.is_scaled, columns), None)) is not None:
        yield f"no column holds an error: {words.SCALED.format(scaled)}: add a column of the loss itself"
    elif not roles.errors:
        good = [name for name, one in roles.of.items() if one.role == "accuracy"]
        yield (
            f"no column holds an error; for `{good[0]}` higher is better: add a column of 1 - `{good[0]}`"
            if good
            else "no column holds an error: name it by `error`"
        )
    if wide is not None and not roles.axes:
        yield (
            f"the table has a column for each run, `{wide}`, whose names do not contain a shape: rename them to "
            "`width64 - loss`, `width128 - loss`"
        )
    if not roles.compute:
        amounts = [*per_step(reading.some(), roles, [FILE, *roles.axes.values(), *roles.runs])]
        if "batch" not in roles.axes:
            amounts += stated(reading.logs[0].path, columns, [*roles.axes.values()])
        yield from _without_compute(roles, list(epochs.values()), amounts)
        if roles.step and (processes := processes_of(roles.tokens, columns, reading.logs[0].path)) is not None:
            yield f"`{roles.tokens}` {why_of_one(processes)}: a step of the log then has the tokens of all of them"
    small = small_size(roles.of, reading.some()) if roles.tokens and not roles.compute else None
    if small is not None and roles.tokens is not None:
        yield unstated_size(small, roles.tokens)
    if (asked := of_one_process(reading, roles)) is not None:
        yield asked
    if others := other_sizes(roles.compute, roles.of, columns):
        size = next(name for name in roles.compute if roles.of[name].role == "parameters")
        yield f"compute is counted by `{size}`: for {' or '.join(f'`{one}`' for one in others)}, write it in `compute`"
    if facts is None:
        return
    if rows_are_ends(columns, roles, facts):
        if not proposed:
            yield (
                "each row seems to be the end of a separate run, and a law is fitted along the runs of one shape: log "
                "measurements during the runs, or write `points: ends` if each run finished its own schedule; "
                "`form: chinchilla` fits one law of size and data together"
            )
        return
    if pattern is None:
        yield "no pattern matches only these files: move them to a folder of their own"
    for word, axis in short_in(pattern or ""):
        what = f"`{word}`" if word else "the number without a word"
        meant = "the seed, or another number of a run of one shape" if axis == "run" else f"the {axis}"
        yield f"{what} in the names of the files is read as {meant}: change `{{{axis}}}` if it is another axis"
    yield from _left_aside(columns, roles)
    if roles.kinds is not None:
        why, help = which_kind(roles.kinds)
        yield f'rows {why}: {help}, or, if they are runs, write `run: "{roles.kinds[0]}"`'
    if len(roles.errors) > 1:
        yield f"other columns that may be the error: {', '.join(f'`{name}`' for name in roles.errors[1:6])}"
    yield from _of_shapes(reading, roles)
    yield from _of_curves(roles, facts)


def _left_aside(columns: Mapping[str, Column], roles: Roles) -> Iterator[str]:
    """Held-out errors that are not used although a training loss is."""
    if not words.is_held_out(roles.errors[0]):
        for name, column in columns.items():
            if words.is_held_out(name) and words.is_error(name) and column.present:
                why = "few numbers" if column.numeric else "text"
                yield f"`{name}` is left aside, by its name an error on held-out data: it holds {why}"


def _of_files(files: Sequence[FileFacts]) -> Iterator[str]:
    if torn := sum(one.torn for one in files):
        yield f"{torn} of {len(files)} files end in an incomplete row, which is left out"
    if broken := sum(one.broken for one in files):
        yield f"{broken} rows cannot be read and are left out"
    if any(one.sampled for one in files):
        yield "the file may hold only a sample of what was logged: export the whole history"


def _without_compute(roles: Roles, epochs: Sequence[Progress], amounts: Sequence[Amount]) -> Iterator[str]:
    timed = next((name for name, one in roles.of.items() if one.role == "time"), None)
    size = next((name for name, one in roles.of.items() if one.role == "parameters"), None)
    data = next((name for name, one in roles.of.items() if one.role == "tokens"), None)
    time = f" (`{timed}` is a time, not FLOPs)" if timed else ""
    steps = "; in a file with a model, its FLOPs per step are used" if roles.step else ""
    yield from _of_steps(roles, amounts)
    if timed and not (roles.step or roles.tokens or roles.epochs or roles.samples):
        steps = f"; add a column of steps or tokens, or multiply `{timed}` by the FLOPs that were done per unit of it"
    if not (roles.step or roles.tokens or epochs or roles.epochs or roles.samples) and roles.counters:
        yield unnamed_counter(roles.counters)
    if not roles.step and roles.tokens:
        steps = "; in a file with a model, its FLOPs per token are used"
    elif epochs:
        units = [one.unit for one in epochs]
        counts = " to ".join(f"{unit:g}" for unit in dict.fromkeys((min(units), max(units))))
        steps = (
            f"; `{roles.epochs}` counts epochs of {counts} steps, by {epochs[0].source} next to the log: in a file "
            "with a model, its FLOPs per step are used (`step_unit` states another length)"
        )
    elif not roles.step and (counted := roles.epochs or roles.samples):
        unit = "40 steps" if roles.epochs else "1024 tokens"
        images = "" if roles.epochs else ", or `1 samples` for images"
        what = "how many steps an epoch has" if roles.epochs else "what a sample is"
        steps = (
            f"; `{counted}` counts {'epochs' if roles.epochs else 'samples'}, not steps: in a file with a model, say "
            f'{what}, `step: "{counted}", step_unit: {unit}`{images} (`shapeflow doctor --step-unit` proposes it)'
        )
    lack = (
        "active parameters"
        if size and data
        else "tokens"
        if size
        else "parameters"
        if data
        else "parameters and of tokens"
    )
    yield (
        f"no column counts compute{time}: add a column of FLOPs since the start of the run, or of {lack} (compute is "
        f"then 6 * parameters * tokens){steps}"
    )


def _of_steps(roles: Roles, amounts: Sequence[Amount]) -> Iterator[str]:
    """What is taken for granted of the column of steps, and what speaks against it. `amounts`: how much the columns of
    tokens and samples grow in one step."""
    step, doubt = roles.step, roles.doubt
    if step is None:
        return
    if unsettled(roles) and doubt is not None:
        why, help = rivals(step, doubt.other, doubt.why) if doubt.kind == "steps" else times(doubt.why)
        yield f"`{step}` {why}; {help}"
        return
    for amount in amounts:
        if amount.count > 1:
            column = amount.said.strip("`")
            unit = (
                f'`step: "{column}", step_unit: 1 tokens`'
                if amount.unit == "tokens"
                else f'`step: "{column}", step_unit: 1 samples`, or `1024 tokens` for sequences of 1024'
            )
            if column not in (roles.tokens, roles.samples):
                # The batch of the log is stated: its steps count it.
                unit = f"`step_unit: {amount.count:.0f} {amount.unit or 'samples'}`"
                unit += "" if amount.unit else " for images (for text, their tokens)"
            yield (
                f"a step of the log is {amount.count:.6g} {amount.unit or 'samples'}, by {amount.said}: a file with a "
                f"model needs data of this batch, or counts by {unit}"
            )
            return
    against = "" if doubt is None else f", although {doubt.why}"
    yield (
        f"`{step}` is taken as optimizer steps{against}: if it counts anything else, say so by `step_unit: 1 tokens` "
        "(`1 samples`, `40 steps`), or name another column by `step`"
    )


def unsettled(roles: Roles) -> bool:
    """Whether nothing shows which column counts optimizer steps, and compute follows from them."""
    doubt = None if roles.compute else roles.doubt
    return doubt is not None and (doubt.kind == "time" or (doubt.kind == "steps" and not doubt.chosen))


def of_one_process(reading: Reading, roles: Roles) -> str | None:
    """What to ask of tokens that may be those of one of several processes, if compute follows from them; else None."""
    tokens = roles.tokens
    product = Product(roles.compute, roles.flops) if tokens in roles.compute else None
    if tokens is None or not (product or (not roles.compute and roles.step is None)):
        return None
    processes = processes_of(tokens, reading.columns, reading.logs[0].path)
    if processes is None:
        return None
    ways = ways_of_step(tokens, processes) if product is None else ways_of_compute(product, processes)
    return f"`{tokens}` {why_of_one(processes)}: {ways.replace('{}', 'compute')}"


def _of_shapes(reading: Reading, roles: Roles) -> Iterator[str]:
    columns, wide = reading.columns, reading.wide
    sizes = [name for name, one in roles.of.items() if one.role == "parameters" and columns[name].few]
    if set(roles.unshaped) - set(sizes):
        yield unshaped_runs(columns, roles.unshaped)
    elif not roles.axes and sizes:
        yield (
            f"`{sizes[0]}` differs between models, and nothing else tells their shapes apart: add a column `width` (or "
            "`depth`, ...) with the value that each size stands for"
        )
    elif not roles.axes and wide is None:
        listed = ", ".join(name for name in names.axes() if not names.is_named(name))
        yield (
            f"no column gives the shape: add one for each axis ({listed}), name it by "
            "`axes`, or mark it in the paths: `runs/w{width}/*.csv`, or `runs/{width}x{depth}.csv` for `64x4.csv`"
        )
    elif roles.axes and all(columns[name].constant for name in roles.axes.values()):
        yield "all rows are of one shape: a plan needs runs of at least two"
    yield from _of_batch(columns, roles.axes.get("batch"))
    if roles.moved:
        moved = " and ".join(roles.moved)
        rest = f"`where` selects the others, {roles.where[0]} {roles.where[1]}" if roles.where else "remove them"
        yield f"some runs change their {moved}, and a law is for one shape: {rest}"
    if roles.chosen and roles.where is not None:
        column, value = roles.where
        rates = ", ".join(columns[column].values)
        yield (
            f"runs of one shape differ in `{column}` ({rates}), and one law is fitted to all: "
            f"{'the pattern' if column in reading.settings else '`where`'} selects {value}, "
            "the one of most shapes and, of those, of the lowest errors at the end"
        )
    for named in (True, False):
        # In the names of files, or in columns.
        differs = [f"`{name}`" for name in roles.differs if (name in reading.settings) is named][:4]
        how = "write one value in place of `*` in the pattern" if named else "select one value by `where`"
        if differs:
            yield f"runs of one shape also differ in {' and '.join(differs)}, and one law is fitted to all: {how}"


def _of_batch(columns: Mapping[str, Column], batch: str | None) -> Iterator[str]:
    """Yield the unit of an axis `batch` whose column does not say that it counts tokens."""
    if batch is None or columns[batch].constant or not {"tokens", "token", "toks"}.isdisjoint(words.words(batch)):
        return
    yield (
        f"the axis batch has the values of `{batch}` ({', '.join(list(columns[batch].values)[:4])}). In a file of text "
        "a batch is in tokens: if these are sequences, multiply them by the tokens of a sequence in a new column, and "
        "name that by `axes`"
    )


def rows_are_ends(columns: Mapping[str, Column], roles: Roles, facts: CurveFacts) -> bool:
    """Whether each row is a separate run: there is no step column, and compute goes up and down or the size changes."""
    sizes = [columns[name] for name, one in roles.of.items() if one.role == "parameters"]
    varied = not roles.axes and any(column.many or len(column.values) > 0.2 * column.present for column in sizes)
    return roles.ends or (roles.step is None and (varied or facts.falls > 0.2 * facts.runs * facts.points[1]))


def _of_curves(roles: Roles, facts: CurveFacts) -> Iterator[str]:
    if facts.shapes and facts.points[1] < 5:
        yield f"no run has more than {facts.points[1]} points: a law needs at least 5 per shape, better 12 per run"
    if facts.restarted:
        yield (
            f"the steps of {facts.restarted} run{'s' * (facts.restarted != 1)} begin again while the run goes on: add "
            f"what a run had counted before it was continued, {_in_epochs(roles)}or separate several runs by `run`"
        )
    elif facts.goes_on:
        yield (
            f"the compute of {facts.goes_on} runs begins again while the run goes on: add what a run had counted "
            "before it was continued, or separate several runs by `run`"
        )
    elif facts.repeated:
        yield f"{facts.repeated} steps were logged more than once: the last one is used; separate several runs by `run`"
    if facts.by_steps:
        yield (
            f"the compute of {facts.by_steps} runs begins again while their steps go on, as after a resume: it is "
            "counted by steps"
        )
    if facts.decades[0] < 1:
        yield (
            f"a shape has only {facts.decades[0]:.2g} decades of compute; below one, the floor and exponent of a law "
            "cannot be distinguished"
        )
    if reasons := ", ".join(f"{count} {reason}" for reason, count in facts.excluded.items()):
        yield f"rows that are not points: {reasons}"
    if facts.diverged:
        yield f"{facts.diverged} of {facts.runs} runs diverged: they end far above their lowest error"
    if facts.cut is not None:
        yield _of_cut(roles, facts, facts.cut)
    if facts.falling and facts.learning_rate != "falling":
        yield (
            f"the learning rate (`{roles.rate}`) of {facts.falling} of {facts.runs} runs falls along the run, and laws "
            "at a constant rate do not mix with it: leave these runs out, by `where` or by their files"
        )
    for name in roles.schedules[:2]:
        yield f'`{name}` falls as a learning rate does: if it is the learning rate, name it, `rate: "{name}"`'
    if facts.learning_rate == "falling":
        yield f"the learning rate (`{roles.rate}`) falls along the runs: a law needs runs at a constant rate"
    elif facts.steepens:
        seems = ": the learning rate seems to fall there, and a law needs runs at a constant rate"
        yield (
            "most curves fall faster per decade again later on, which a power law does not"
            f"{'' if facts.learning_rate else seems}"
        )
    if words.is_share(roles.errors[0]) and facts.error[1] > 1:
        yield f"`{roles.errors[0]}` is above 1: divide percentages by 100"


def _in_epochs(roles: Roles) -> str:
    """The setting that counts by epochs, if they are known."""
    return f'count by `step: "{roles.epochs}", step_unit: 40 steps` (those of an epoch), ' if roles.epochs else ""


def _of_cut(roles: Roles, facts: CurveFacts, cut: Cut) -> str:
    at = [f"{place:.0f}" if cut.steps else flops(place) for place in dict.fromkeys(cut.at)]
    where = f"step {' to '.join(at)}" if cut.steps else " to ".join(at)
    left = " to ".join(str(count) for count in dict.fromkeys(cut.points))
    return (
        f"the learning rate (`{roles.rate}`) of {cut.runs} of {facts.runs} runs is constant and falls at the end, from "
        f"{where}: a fit cuts them there, which leaves {left} points of each, and their ends measure what a cooldown "
        "gains"
    )
