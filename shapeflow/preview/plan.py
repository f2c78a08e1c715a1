"""Shows a plan: its saving, its stages with predicted errors, and notes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.ir.plan import Blend, Comparator, Pair, Plan, Stage
from shapeflow.ir.saving_reasons import in_short
from shapeflow.preview.intervals import conditions, interval_table, saving, withheld
from shapeflow.preview.numbers import count, error, flops, longest, scale, share
from shapeflow.preview.rates import rate_lines

CROWDED = 3
"""With more axes than this, tables use narrow columns."""


def plan_view(plan: Plan, *, warned: bool = False) -> RenderableType:
    """The output of `shapeflow compile`. `warned`: the reasons against each law were already printed as warnings."""
    compared = [_indented(line) for line in _compared(plan, warned)]
    intervals = interval_table(plan)
    parts = (_stages(plan),) if intervals is None else (_stages(plan), Text(), intervals)
    return Group(_title(plan), Text(), *compared, Text(), *parts, Text(), *map(_indented, _words(plan)))


def _indented(line: str) -> RenderableType:
    return Padding(Text(line), (0, 0, 0, 2))


def _title(plan: Plan) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    total = flops(plan.totals.compute) if plan.totals.compute is not None else "?"
    kinds = f"{len(plan.candidates)} candidate{'s' * (len(plan.candidates) != 1)}"
    grid.add_row(Text(plan.name or "unnamed plan", style="bold"), f"{kinds}, {total} ({plan.convention})")
    return grid


def _stages(plan: Plan) -> Table:
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
    table.add_column(f"compute, {prefix}FLOPs", justify="right", overflow="fold")
    # Break long metric names after an underscore.
    table.add_column(plan.metric.replace("_", "_\n") if crowded else plan.metric, justify="right", overflow="fold")
    arrivals = longest(stage.arrives_by for stage in plan.stages)
    table.add_column("switch", overflow="fold", width=max(arrivals + len(" +"), len("switch")) if crowded else None)
    for number, stage in enumerate(plan.stages, 1):
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
    yield f"{(stage.enter.compute or 0) / size:.4g} - {(stage.leave.compute or 0) / size:.4g}"
    known = stage.leave.error is not None
    yield f"{error(stage.enter.error, plan.metric)} - {error(stage.leave.error, plan.metric)}" if known else "-"
    yield stage.arrives_by.replace(" + ", " +\n") if len(plan.axes) > CROWDED else stage.arrives_by


def _blend_row(plan: Plan, stage: Stage, blend: Blend) -> Iterator[str]:
    yield f"  {share(blend.share)}"
    for axis in plan.axes:
        yield f"{blend.shape[axis.name]} {axis.unit}".rstrip()
    yield f"{count(stage.first_step + blend.first)} - {count(stage.first_step + blend.last)}"
    yield ""
    yield ""
    yield "blended in"


def _words(plan: Plan) -> Iterator[str]:
    """Yield the caveats of the intervals, the credits, the learning rates, the cost of the laws, and the notes."""
    if plan.uncertainty is not None:
        yield from conditions(plan.uncertainty)
    yield from _credits(plan)
    yield from rate_lines(plan)
    spent = price(plan)
    if spent is not None and plan.totals.compute:
        times = spent / plan.totals.compute
        yield f"the laws are fitted to runs of {flops(spent)}, {times:.3g} times this plan; savings do not include it"
    for note in plan.notes:
        yield f"note: {note}"


def _compared(plan: Plan, warned: bool) -> Iterator[str]:
    """Yield the savings over fixed shapes, or why none is quoted."""
    comparison, reasons = plan.comparison, withheld(plan)
    if reasons:
        reasons = in_short(plan) if warned else reasons
        yield "no saving is quoted:" if len(reasons) > 1 else f"no saving is quoted: {reasons[0]}"
        yield from (f"- {reason}" for reason in reasons if len(reasons) > 1)
        return
    if comparison.best_fixed.shape is None:
        yield f"not compared with a fixed shape: {comparison.best_fixed.reason}"
    elif plan.is_best_fixed:
        yield f"this plan is itself the best fixed shape, {comparison.best_fixed.shape.written(plan.units)}"
    else:
        found = plan.uncertainty
        yield against(plan, comparison.best_fixed, "the best fixed shape", found.best_fixed if found else None)
        if comparison.best_fixed.shape != comparison.last_shape_fixed.shape:
            last = found.last_shape_fixed if found else None
            yield against(plan, comparison.last_shape_fixed, "the fixed last shape", last)


def _credits(plan: Plan) -> Iterator[str]:
    """Yield the credit of each switch (the share of progress that survives it), measured or assumed. An assumption that
    several switches share is printed once."""
    assumed: dict[str, None] = {}
    for before, stage in itertools.pairwise(plan.stages):
        if stage.transition is None:
            continue
        for found in stage.transition.credits:
            switch = f"{found.axis} {before.shape[found.axis]} -> {stage.shape[found.axis]}"
            seeds = f"seed{'s' * (len(found.seeds) > 1)} {', '.join(map(str, found.seeds))}"
            wide = "" if found.low is None or found.high is None else f", {share(found.low)} to {share(found.high)}"
            back = "" if found.recovery is None else f"; the error recovered after {flops(found.recovery)}"
            yield f"{switch}: {share(found.eta)} of the progress survived, measured ({seeds}{wide}){back}"
        if plan.totals.error is not None and len(stage.transition.credits) < len(before.shape.changed(stage.shape)):
            names, credit = " + ".join(stage.transition.names), share(stage.transition.credit)
            assumed[f"{names}: {credit} of the progress is assumed to survive the switch"] = None
    yield from assumed


def price(plan: Plan) -> float | None:
    """FLOPs of all runs that the laws of a plan were fitted to; None if the laws are stated or do not record it."""
    spent = [candidate.law.provenance.spent for candidate in plan.candidates if candidate.law is not None]
    known = [value for value in spent if value is not None]
    return sum(known) if known else None


def against(plan: Plan, comparator: Comparator, what: str, interval: Pair | None) -> str:
    """The comparison with one comparator as text: `saving +3.5% over the best fixed shape, (patch: 10 px), which needs
    ...`."""
    shape = f", {comparator.shape.written(plan.units)}," if comparator.shape is not None else ""
    if comparator.compute is None or plan.totals.compute is None:
        return f"not compared with {what}{shape.rstrip(',')}: {comparator.reason}"
    reached = error(plan.totals.error, plan.metric)
    spends = plan.totals.compute / comparator.compute
    saves = saving(plan, comparator.saving, interval)
    needs = f"needs {flops(comparator.compute)} to reach {reached}"
    return f"{saves} over {what}{shape or ','} which {needs}; this plan uses {share(spends)} of that"
