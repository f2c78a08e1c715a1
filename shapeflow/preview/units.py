"""A plan next to the one to the same error that is the best in the other unit: FLOPs or seconds."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import duration, flops, share

EVEN = 1.005
"""Ratio of times per FLOP below which shapes are as fast as each other."""


def units_view(plan: Plan, other: Plan) -> RenderableType:
    """Both plans with their stages, seconds and FLOPs, then why they differ."""
    by_seconds, by_flops = (plan, other) if plan.in_seconds else (other, plan)
    if _shapes(by_seconds) == _shapes(by_flops):
        return Text("\n  by FLOPs and by seconds the same shapes are the best, in the same order")
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    for name in ("to the same error", "stages", "seconds", "compute"):
        table.add_column(name, overflow="fold")
    for name, one in (("the fewest seconds", by_seconds), ("the least compute", by_flops)):
        table.add_row(name, _shapes(one), duration(one.totals.seconds or 0.0, 4), flops(one.totals.compute or 0.0))
    return Group(Text(), table, *(Text(f"  {line}") for line in _why(by_seconds, by_flops)))


def _shapes(plan: Plan) -> str:
    return ", ".join(stage.shape.written(plan.units) for stage in plan.stages)


def _why(by_seconds: Plan, by_flops: Plan) -> Iterator[str]:
    """What each saves of its own unit, and the slowest and the fastest FLOPs."""
    seconds, compute = (
        _less(by_seconds.totals.seconds, by_flops.totals.seconds),
        _less(by_flops.totals.compute, by_seconds.totals.compute),
    )
    yield f"the plan by seconds takes {seconds} fewer seconds, the plan by FLOPs {compute} less compute"
    for name, one in (("seconds", by_seconds), ("FLOPs", by_flops)):
        if delay := sum(stage.transition.delay or 0.0 for stage in one.stages if stage.transition is not None):
            yield f"switches take {duration(delay, 3)} of the plan by {name}"
    paces = {one.shape: one.pace for one in by_seconds.candidates if one.pace is not None}
    if len(paces) > 1:
        slow, fast = max(paces, key=lambda shape: paces[shape]), min(paces, key=lambda shape: paces[shape])
        ratio = paces[slow] / paces[fast]
        if ratio < EVEN:
            return
        names = [shape.written(by_seconds.units) for shape in (slow, fast)]
        yield f"a FLOP of {names[0]} takes {ratio:.3g} times as long as one of {names[1]}"


def _less(least: float | None, more: float | None) -> str:
    return share(1 - least / more) if least is not None and more else "?"
