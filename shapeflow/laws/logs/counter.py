"""Whether a column that is taken for optimizer steps counts something else: tokens, samples, or steps of another
batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.batches import Amount, agrees, contexts, stated
from shapeflow.laws.logs.epochs import CLOSE
from shapeflow.laws.logs.finding.doubts import Doubt
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.processes import processes_of
from shapeflow.laws.logs.runs import Run
from shapeflow.laws.logs.table_facts import TableFacts

FEWEST = 5
"""Fewest points of which a common divisor shows something."""
COARSE, FINE = 4096, 64
"""Powers of two that divide the counts of data rather than those of steps: by themselves, and for counts that are
multiples of the batch of the file too."""
TOKENS = 1024
"""Fewest tokens of a step whose multiples are not taken for steps, whatever divides them."""
MOST_STEPS = 1e7
"""More steps than training runs take."""


def doubtful(search: LogSearch, table: TableFacts, path: Path, step: str) -> bool:
    """Report a column of steps next to another one that rises at another rate, or one that rises as time does
    (`wrong-counter`), unless a setting or the data of a step show what it counts. Return whether it did."""
    doubt, query = table.roles.doubt, search.query
    if doubt is None or step != table.roles.step or confirmed(table, search.request):
        return False
    if doubt.kind == "steps" and not doubt.chosen and query.step is None:
        search.finder.wrong("step", step, search.name(path), *rivals(step, doubt.other, doubt.why))
    elif doubt.kind == "time" and query.step_unit is None:
        search.finder.wrong("step", step, search.name(path), *times(doubt.why))
    else:
        return False
    return True


def rivals(step: str, other: str, why: str) -> tuple[str, str]:
    """Why a column of steps may be that of something else, and what to write."""
    return (
        f"may not count updates of the optimizer: {why}",
        f'name the column of optimizer steps: `step: "{other}"`, or `step: "{step}"`',
    )


def times(why: str) -> tuple[str, str]:
    """Why a column called like steps is a time, and what to write."""
    return (
        f"is a time: {why}",
        "name a column of steps, tokens or FLOPs; if it counts steps, write `step_unit: 1 steps`",
    )


def confirmed(table: TableFacts, request: LawRequest) -> bool:
    """Return whether the columns of tokens or samples show that a step of the log is one of the file."""
    return any(agrees(amount, request) for amount in table.batches)


def other_batch(search: LogSearch, table: TableFacts, path: Path, step: str) -> None:
    """Report a log whose steps are not those of the file, by what it states of their data (`wrong-counter`)."""
    request, query = search.request, search.query
    axes = [query.axes.get(axis, axis) for axis in request.units]
    if not request.step_data or "batch" in request.units:
        return
    processes = processes_of(table.roles.tokens, table.columns, path)
    for amount in (*table.batches, *stated(path, table.columns, axes)):
        if processes is not None and amount.unit == "tokens" and amount in table.batches:
            # The column may count the tokens of one process, and the steps be those of the file.
            of_all = attrs.evolve(amount, count=amount.count * processes.high)
            if agrees(of_all, request):
                continue
        if not agrees(amount, request):
            counts = amount in table.batches and abs(amount.count - 1) <= CLOSE
            why = _counts(amount, request) if counts else _differs(amount, request)
            search.finder.wrong("step", step, search.name(path), *why)
            return


def _counts(amount: Amount, request: LawRequest) -> tuple[str, str]:
    """Why a column is no counter of steps, since it rises as one of data, and what to write."""
    return f"counts {amount.unit}, as {amount.said} does, not steps", _unit(amount.unit, request)


def _unit(counted: str, request: LawRequest) -> str:
    tokens = next(iter(contexts(request)), None)
    unit = f"{tokens:.0f} tokens" if counted == "samples" and tokens else f"1 {counted}"
    return f"say that it counts {counted}: `step_unit: {unit}`"


def _differs(amount: Amount, request: LawRequest) -> tuple[str, str]:
    batch, context = max((request.step_data or {}).values()), next(iter(contexts(request)), None)
    unit = "tokens" if context else "samples"
    sequences = bool(context) and amount.unit != "tokens" and not (amount.unit == "" and amount.count > batch)
    count = amount.count * context if sequences and context else amount.count
    each = f" of {context:.0f} tokens" if sequences else ""
    why = f"counts steps of {amount.count:.6g} {'sequences' if sequences else unit}{each}, by {amount.said}, and a step"
    return (
        f"{why} of this file is {batch:.6g} {unit}",
        f"compute by the log's own steps, `step_unit: {count:.0f} {unit}`, or set `batch: {count:.0f} {unit}` in the "
        "data; if its steps are those of this file, `step_unit: 1 steps`",
    )


def report_counters(runs: Mapping[tuple[str, ...], Run], request: LawRequest, report: Report) -> None:
    """Report runs whose steps seem to be tokens or samples by their values (`wrong-counter`). Call this before runs are
    cut."""
    found = [(run, why) for run in runs.values() if run.counter and (why := _seems(run, request))]
    if not found:
        return
    run, why = found[0]
    unit = "tokens" if contexts(request) else "samples"
    report.error(
        "wrong-counter",
        f"`{run.counter}` of {len(found)} run{'s' * (len(found) != 1)} does not seem to count optimizer steps: {why}",
        request.at("step", "paths"),
        "a step of the model's batch is taken for each",
        notes=[f"{run.called}: {why}" for run, why in found[:8]],
        help=request.advice(
            ("step", f'if it counts {unit}, `{{}}: "{run.counter}", step_unit: 1 {unit}`'),
            "if it counts steps, `step_unit: 1 steps`",
        ),
    )


def _seems(run: Run, request: LawRequest) -> str | None:
    """Why the steps of a run seem to be counts of data; None if they do not."""
    steps = [point.step for point in run.points.values() if point.step]
    if not steps:
        return None
    if max(steps) > MOST_STEPS:
        return f"no training takes {max(steps):.6g} steps"
    if len(steps) < FEWEST or not all(step.is_integer() for step in steps):
        return None
    divisor = math.gcd(*(int(step) for step in steps))
    twos = divisor & -divisor
    data = int((request.step_data or {}).get(run.shape, 0))
    if data > 1 and divisor % data == 0 and (data >= TOKENS or twos >= FINE):
        return f"all are multiples of {data}, the data of a step"
    return f"all are multiples of {twos}" if twos >= COARSE else None


def assumed(column: str, doubt: Doubt | None, request: LawRequest) -> str:
    """What is taken for granted of a column that is read as steps, and what speaks against it."""
    data = sorted(set((request.step_data or {}).values()))
    each = " to ".join(f"{one:.0f}" for one in dict.fromkeys((data[0], data[-1]))) if data else ""
    unit = "tokens" if contexts(request) else "samples"
    against = "" if doubt is None else f", although {doubt.why}"
    return f"`{column}` is taken as optimizer steps" + (f" of {each} {unit}" if each else "") + against
