"""A plan on the screen: its stages, what they are expected to reach, and what fixed shapes would need for it."""

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
"""With more axes than these a table has no room to spare."""


def plan_view(plan: Plan, *, warned: bool = False) -> RenderableType:
    """What `shapeflow compile` prints. `warned`: what is against each law stands above already, in warnings."""
    words = (Padding(Text(line), (0, 0, 0, 2)) for line in _words(plan, warned))
    intervals = interval_table(plan)
    beside = () if intervals is None else (intervals, Text())
    return Group(_title(plan), Text(), _stages(plan), Text(), *beside, *words)


def _title(plan: Plan) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    total = flops(plan.totals.compute) if plan.totals.compute is not None else "?"
    kinds = f"{len(plan.candidates)} candidate{'s' * (len(plan.candidates) != 1)}"
    grid.add_row(Text(plan.name or "a plan without a name", style="bold"), f"{kinds}, {total} ({plan.convention})")
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
    # A name may be broken behind a mark, where a word has none.
    table.add_column(plan.metric.replace("_", "_\n") if crowded else plan.metric, justify="right", overflow="fold")
    arrivals = longest(stage.arrives_by for stage in plan.stages)
    table.add_column(
        "arrives by", overflow="fold", width=max(arrivals + len(" +"), len("arrives by")) if crowded else None
    )
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


def _words(plan: Plan, warned: bool) -> Iterator[str]:
    """The comparison in words, then the notes."""
    if plan.uncertainty is not None:
        yield from conditions(plan.uncertainty)
    yield from _compared(plan, warned)
    yield from _credits(plan)
    yield from rate_lines(plan)
    spent = price(plan)
    if spent is not None and plan.totals.compute:
        times = spent / plan.totals.compute
        yield f"finding the laws took {flops(spent)}, {times:.3g} times this plan; no saving here counts it"
    for note in plan.notes:
        yield f"note: {note}"


def _compared(plan: Plan, warned: bool) -> Iterator[str]:
    """What fixed shapes would need, or why that is not said."""
    comparison, reasons = plan.comparison, withheld(plan)
    if reasons:
        reasons = in_short(plan) if warned else reasons
        yield "no saving is quoted:" if len(reasons) > 1 else f"no saving is quoted: {reasons[0]}"
        yield from (f"- {reason}" for reason in reasons if len(reasons) > 1)
        return
    if comparison.best_fixed.shape is None:
        yield f"compared with no fixed shape: {comparison.best_fixed.reason}"
    elif plan.is_best_fixed:
        yield f"this plan is the best fixed shape, {comparison.best_fixed.shape.written(plan.units)}, itself"
    else:
        found = plan.uncertainty
        yield against(plan, comparison.best_fixed, "the best fixed shape", found.best_fixed if found else None)
        if comparison.best_fixed.shape != comparison.last_shape_fixed.shape:
            last = found.last_shape_fixed if found else None
            yield against(plan, comparison.last_shape_fixed, "the shape it ends in, fixed", last)


def _credits(plan: Plan) -> Iterator[str]:
    """What of the laws' descent survives each switch, and whether that was measured; what is assumed of several alike
    switches is said once."""
    assumed: dict[str, None] = {}
    for before, stage in itertools.pairwise(plan.stages):
        if stage.transition is None:
            continue
        for found in stage.transition.credits:
            switch = f"{found.axis} {before.shape[found.axis]} -> {stage.shape[found.axis]}"
            seeds = f"seed{'s' * (len(found.seeds) > 1)} {', '.join(map(str, found.seeds))}"
            wide = "" if found.low is None or found.high is None else f", {share(found.low)} to {share(found.high)}"
            back = "" if found.recovery is None else f"; its error was back after {flops(found.recovery)}"
            yield f"{switch}: {share(found.eta)} of the law's descent survived, measured ({seeds}{wide}){back}"
        if plan.totals.error is not None and len(stage.transition.credits) < len(before.shape.changed(stage.shape)):
            names, credit = " + ".join(stage.transition.names), share(stage.transition.credit)
            assumed[f"{names}: {credit} of the law's descent is assumed to survive the switch"] = None
    yield from assumed


def price(plan: Plan) -> float | None:
    """FLOPs of all runs that the plan's laws were fitted to; None where the laws were stated or do not say."""
    spent = [candidate.law.provenance.spent for candidate in plan.candidates if candidate.law is not None]
    known = [value for value in spent if value is not None]
    return sum(known) if known else None


def against(plan: Plan, comparator: Comparator, what: str, interval: Pair | None) -> str:
    """One comparator in words: `the best fixed shape, (patch: 10 px), needs 21.3 EFLOPs for 34%: ...`."""
    shape = f", {comparator.shape.written(plan.units)}," if comparator.shape is not None else ""
    if comparator.compute is None or plan.totals.compute is None:
        return f"{what}{shape} is no measure here: {comparator.reason}"
    reached = error(plan.totals.error, plan.metric)
    spends = plan.totals.compute / comparator.compute
    saves = saving(plan, comparator.saving, interval)
    needs = f"{what}{shape} needs {flops(comparator.compute)} for {reached}"
    return f"{needs}: this plan spends {share(spends)} of it ({saves})"
