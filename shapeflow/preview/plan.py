"""A plan on the screen: its answer, its stages with predicted errors, and notes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.ir.evaluation import AFFORDABLE
from shapeflow.ir.plan import Blend, Plan, Stage, Transition
from shapeflow.preview.answer import answer_view
from shapeflow.preview.charge import charge_lines, charged
from shapeflow.preview.corpora import corpora_line
from shapeflow.preview.memory import memory_line
from shapeflow.preview.numbers import clock, count, duration, error, flops, longest, scale, share
from shapeflow.preview.rates import rate_lines

CROWDED = 3
"""With more axes than this, tables use narrow columns."""
FIRST, LAST = 40, 10
"""Stages of a long plan that are listed, at its start and at its end."""


def plan_view(plan: Plan) -> RenderableType:
    """What `shapeflow compile` prints: the answer first."""
    answer = answer_view(plan)
    first = () if answer is None else (answer, Text())
    return Group(*first, _title(plan), Text(), stage_view(plan), Text(), *map(_indented, plan_lines(plan)))


def _indented(line: str) -> RenderableType:
    return Padding(Text(line), (0, 0, 0, 2))


def _title(plan: Plan) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row(Text(plan.name or "unnamed plan", style="bold"), totals_line(plan))
    return grid


def totals_line(plan: Plan) -> str:
    """The number of candidates, and what the plan takes."""
    total = flops(plan.totals.compute) if plan.totals.compute is not None else "?"
    if plan.totals.seconds is not None:
        money = charged(plan, plan.totals.seconds)
        total = f"{f'{money}, ' if money else ''}{duration(plan.totals.seconds, 4)}, {total}"
    kinds = f"{len(plan.candidates)} candidate{'s' * (len(plan.candidates) != 1)}"
    return f"{kinds}, {total} ({plan.convention})"


def stage_view(plan: Plan) -> Table:
    """The table of stages. Of many, the first and the last."""
    prefix, size = scale(plan.totals.compute or 0.0)
    crowded = len(plan.axes) > CROWDED
    table = Table(box=None, padding=(0, 1 if crowded else 2), pad_edge=True)
    table.add_column("stage", overflow="fold")
    for axis in plan.axes:
        values = {stage.shape[axis.name] for stage in plan.stages}
        names = [value for value in values if isinstance(value, str)]
        table.add_column(axis.name, overflow="fold", width=longest([axis.name, *names]) if names else None)
    if plan.totals.steps is not None:
        table.add_column("steps", justify="right", overflow="fold")
    if plan.totals.seconds is not None:
        table.add_column(clock(plan.totals.seconds)[0], justify="right", overflow="fold")
    table.add_column(f"compute, {prefix}FLOPs", justify="right", overflow="fold")
    # Break long metric names after an underscore.
    table.add_column(plan.metric.replace("_", "_\n") if crowded else plan.metric, justify="right", overflow="fold")
    arrivals = longest(stage.arrives_by for stage in plan.stages)
    table.add_column("switch", overflow="fold", width=max(arrivals + len(" +"), len("switch")) if crowded else None)
    for number, stage in enumerate(plan.stages, 1):
        if FIRST < number <= len(plan.stages) - LAST:
            if number == FIRST + 1:
                table.add_row("...")
            continue
        table.add_row(*_row(plan, number, stage, size))
        for blend in stage.blends:
            table.add_row(*_blend_row(plan, stage, blend))
    return table


def _row(plan: Plan, number: int, stage: Stage, size: float) -> Iterator[str]:
    yield str(number)
    for axis in plan.axes:
        yield f"{stage.shape[axis.name]} {axis.unit}".rstrip()
    if plan.totals.steps is not None:
        yield f"{count(stage.enter.step)} - {count(stage.leave.step)}"
    if plan.totals.seconds is not None:
        _, unit = clock(plan.totals.seconds)
        yield f"{(stage.enter.seconds or 0) / unit:.4g} - {(stage.leave.seconds or 0) / unit:.4g}"
    yield f"{(stage.enter.compute or 0) / size:.4g} - {(stage.leave.compute or 0) / size:.4g}"
    yield _errors(plan, stage)
    yield stage.arrives_by.replace(" + ", " +\n") if len(plan.axes) > CROWDED else stage.arrives_by


def _errors(plan: Plan, stage: Stage) -> str:
    """The error at the start and the end of a stage. A first stage that ends where its laws begin has only an end."""
    if stage.leave.error is None:
        return "-"
    enter, leave = (error(point.error, plan.metric) for point in (stage.enter, stage.leave))
    lowest = _lowest(plan, stage)
    if lowest is not None and stage.leave.error < lowest:
        leave = f"below {error(lowest, plan.metric)}"
    falls = enter != leave and (stage.enter.error is None or stage.enter.error > stage.leave.error)
    return f"{enter if falls or stage is not plan.stages[0] else 'start'} - {leave}"


def _lowest(plan: Plan, stage: Stage) -> float | None:
    """The lowest measured error of a stage's shape if its law is refused, and so says nothing of lower ones."""
    laws = (one.law for one in plan.candidates if one.shape == stage.shape)
    refused = next((law for law in laws if law is not None and law.provenance.verdict), None)
    return refused.measured[1] if refused is not None and refused.measured is not None else None


def _blend_row(plan: Plan, stage: Stage, blend: Blend) -> Iterator[str]:
    yield f"  {share(blend.share)}"
    for axis in plan.axes:
        yield f"{blend.shape[axis.name]} {axis.unit}".rstrip()
    yield f"{count(stage.first_step + blend.first)} - {count(stage.first_step + blend.last)}"
    yield from [""] * (2 if plan.totals.seconds is None else 3)
    yield "blended in"


def plan_lines(plan: Plan) -> Iterator[str]:
    """Stages that are not listed, credits, learning rates, memory, then the notes."""
    yield from stage_lines(plan)
    for note in plan.notes:
        yield f"note: {note}"


def stage_lines(plan: Plan) -> Iterator[str]:
    """The same without the notes."""
    if len(plan.stages) > FIRST + LAST:
        hidden = len(plan.stages) - FIRST - LAST
        yield f"{count(hidden)} of {count(len(plan.stages))} stages are not listed here; the file of the plan has all"
    yield from charge_lines(plan)
    yield from _credits(plan)
    yield from rate_lines(plan)
    yield from corpora_line(plan)
    yield from memory_line(plan)
    if plan.evaluation is not None and plan.evaluation <= AFFORDABLE:
        yield f"evaluation: {share(plan.evaluation)} of the compute of the steps, which the budget does not include"


def _seeds(seeds: Sequence[int]) -> str:
    """`seed 0`, `seeds 0, 2, 5` or `seeds 0 to 11`."""
    first, last = min(seeds), max(seeds)
    if len(seeds) > 3 and sorted(seeds) == list(range(first, last + 1)):
        return f"seeds {first} to {last}"
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _credits(plan: Plan) -> Iterator[str]:
    """Yield the credit of each switch (the share of progress that survives it), measured or assumed. An assumption that
    several switches share is printed once."""
    assumed: dict[str, None] = {}
    for before, stage in itertools.pairwise(plan.stages):
        if stage.transition is None:
            continue
        for found in stage.transition.credits:
            switch = f"{found.axis} {before.shape[found.axis]} -> {stage.shape[found.axis]}"
            seeds = _seeds(found.seeds)
            wide = "" if found.low is None or found.high is None else f", {share(found.low)} to {share(found.high)}"
            back = "" if found.recovery is None else f"; the error recovered after {flops(found.recovery)}"
            yield f"{switch}: {share(found.eta)} of the progress survived, measured ({seeds}{wide}){back}"
        if plan.totals.error is not None and len(stage.transition.credits) < len(before.shape.changed(stage.shape)):
            assumed[_assumption(stage.transition)] = None
    yield from assumed


def _assumption(transition: Transition) -> str:
    """What a plan assumes about a switch that was not measured."""
    names, credit = " + ".join(transition.names), transition.credit
    text = f"{names}: {share(credit)} of the progress is assumed to survive the switch"
    return text if credit < 1 else f"{text}, so that equal error counts as equal state"
