"""Shows a comparison: the compute that the plan and each rival needed to reach the same target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.preview.numbers import error, percent, scale
from shapeflow.running.rivals import Result


def comparison_view(results: Sequence[Result], metric: str, target: float, seeds: Sequence[int]) -> RenderableType:
    """A table of FLOPs and seconds of training to the target, and of the saving of the plan over each rival, per
    seed."""
    plan = results[0]
    prefix, size = scale(max((value for r in results for value in r.compute if value is not None), default=1.0))
    table = Table(box=None, padding=(0, 2))
    table.add_column("")
    table.add_column(f"{prefix}FLOPs to {error(target, metric)}", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("at the end", justify="right")
    table.add_column("saving of the plan", justify="right")
    for result in results:
        computes = None if result.mean_compute is None else result.mean_compute / size
        table.add_row(
            result.what,
            _spread([None if value is None else value / size for value in result.compute]) if computes else "never",
            _spread(result.seconds),
            error(statistics.mean(result.final), metric),
            "" if result is plan else _saving(result.savings(plan)),
        )
    said = f"{len(seeds)} seed{'s' * (len(seeds) != 1)}: {', '.join(map(str, seeds))}"
    title = f"measured until {metric} {error(target, metric)}, {said}; evaluation is not counted"
    seconds = "  seconds: of training; time per step: 10th percentile over all runs, for each shape"
    return Group(Text(title, style="bold"), Text(), table, Text(), Text(seconds))


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"{len(known)} of {len(values)} seeds"
    mean = statistics.mean(known)
    return f"{mean:.4g}" if len(known) == 1 else f"{mean:.4g} ± {statistics.stdev(known):.2g}"


def _saving(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "-"
    mean = percent(statistics.mean(known))
    return mean if len(known) == 1 else f"{mean} ({percent(min(known))} to {percent(max(known))})"
