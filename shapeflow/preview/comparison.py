"""Shows a comparison: the compute that the plan and each rival needed to reach the same target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import duration, error, flops, percent, scale
from shapeflow.running.rivals import Compared, Result, paired
from shapeflow.running.rivals.results import step_times
from shapeflow.running.runs import Run

SMALLEST = 1e-3
"""Smaller p-values are not written out: with a few seeds, they depend on the tail of the distribution."""
SECONDS = "seconds: of training steps, without switches; time per step: 10th percentile over all runs, for each shape"
PAIRS = "95% interval, p: Student's t, from one saving per seed; p: two-sided, for no saving"


def comparison_view(found: Compared, plan: Plan) -> RenderableType:
    """A table of FLOPs and seconds of training to the target, and of the saving of the plan over each rival; with
    several seeds, the savings in a table of their own."""
    return Group(Text(verdict(found), style="bold"), comparison_details(found, plan))


def comparison_details(found: Compared, plan: Plan) -> RenderableType:
    """The same without the verdict."""
    seeds = f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)}: {', '.join(map(str, found.seeds))}"
    title = f"measured until {found.metric} {error(found.target, found.metric)}, {seeds}; evaluation is not counted"
    notes = [Text(f"  {line}") for line in (*_same(found.results), *_choice(found, plan))]
    below: list[RenderableType] = [Text(), _savings(found), Text()] if len(found.seeds) > 1 else [Text()]
    ends = [SECONDS, PAIRS] if len(found.seeds) > 1 else [SECONDS]
    ends += _whole(found, plan)
    return Group(Text(title), Text(), _table(found), *notes, *below, *(Text(f"  {end}") for end in ends))


def _whole(found: Compared, plan: Plan) -> Iterator[str]:
    """The time of the whole plan, as its profile predicts it and as it was measured."""
    own = {PurePath(name).name for name in found.results[0].runs}
    runs = [run for folder, run in found.runs.items() if folder.name in own and _ended(run)]
    if plan.totals.seconds is None or not runs:
        return
    times = step_times(list(found.runs.values()))
    counts = [stage.steps_of(plan.seed, index, stage.steps or 0) for index, stage in enumerate(plan.stages)]
    if any(shape not in times for each in counts for shape in each):
        return
    steps = sum(times[shape] * count for each in counts for shape, count in each.items())
    delays = sum(stage.transition.delay or 0.0 for stage in plan.stages if stage.transition is not None)
    planned, wall = plan.totals.seconds - delays, statistics.mean(run.trained for run in runs)
    if planned <= 0:
        return
    off = percent(steps / planned - 1)
    yield (
        f"all steps of the plan: {duration(planned, 3)} by the profile, {duration(steps, 3)} by these times per step "
        f"({off}), {duration(wall, 3)} by the clock, switches included"
    )


def _ended(run: Run) -> bool:
    return bool(run.measured) and run.measured[-1].step == run.plan.steps


def verdict(found: Compared) -> str:
    """What was measured, in one sentence: the saving over the rival that leaves the smallest one."""
    plan, unit = found.results[0], "FLOPs" if found.unit == "compute" else "training time"
    rivals = [one for one in found.results[1:] if one.same is None]
    if not rivals:
        return "measured: every rival has the runs of the plan, which saves nothing"
    savings = [(one, paired(one.savings(plan, found.unit))) for one in rivals]
    known = [(one, saving) for one, saving in savings if saving is not None]
    if not known:
        return "measured: no rival with runs of its own reached the target with every seed"
    rival, saving = min(known, key=lambda pair: pair[1].mean)
    against = f"against {rival.what}" + (", the best of its rivals" if len(known) > 1 else "")
    mean = _unsigned(saving.mean)
    if saving.low is None or saving.high is None:
        nothing = "nothing: " if saving.mean <= 0 else ""
        return (
            f"measured with one seed: the plan saves {nothing}{mean} of the {unit} {against}; `--seeds 0,1,2` tests it"
        )
    ends = f"95%: {_unsigned(saving.low)} to {_unsigned(saving.high)}; {len(found.seeds)} seeds"
    if saving.low > 0:
        return f"measured: the plan saves {mean} of the {unit} ({ends}) {against}"
    if saving.high < 0:
        return f"measured: the plan saves nothing: {mean} of the {unit} ({ends}) {against}"
    return f"measured: not settled: the plan saves {mean} of the {unit} ({ends}) {against}"


def _unsigned(value: float) -> str:
    """A share in percent, without a sign in front of what is above 0."""
    return percent(value).removeprefix("+")


def _columns(*names: str) -> Table:
    """An empty table: a column of names, and columns of numbers."""
    table = Table(box=None, padding=(0, 2))
    table.add_column(names[0])
    for name in names[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _table(found: Compared) -> Table:
    plan, metric, one = found.results[0], found.metric, len(found.seeds) == 1
    saving_of = "saving of the plan" if found.unit == "compute" else "seconds saved\nby the plan"
    prefix, size = scale(max((value for r in found.results for value in r.compute if value is not None), default=1.0))
    computes = f"{prefix}FLOPs to {error(found.target, metric)}"
    table = _columns("", computes, "seconds", "at the end", *([saving_of] if one else []))
    for result in (each for each in found.results if each.same is None):
        scaled = [None if value is None else value / size for value in result.compute]
        saving = paired(result.savings(plan, found.unit))
        table.add_row(
            result.what,
            _spread(scaled),
            _spread(result.seconds),
            error(statistics.mean(result.final), metric),
            *(["" if result is plan else percent(None if saving is None else saving.mean)] if one else []),
        )
    return table


def _savings(found: Compared) -> Table:
    """The paired savings of the plan over each rival."""
    what = "saving of the plan over" if found.unit == "compute" else "seconds saved by the plan over"
    plan, table = found.results[0], _columns(what, "mean", "95% interval", "p")
    for result in (each for each in found.results[1:] if each.same is None):
        saving = paired(result.savings(plan, found.unit))
        if saving is None or saving.low is None or saving.high is None or saving.p is None:
            table.add_row(result.what, "-", "-", "-")
            continue
        p = f"<{SMALLEST:g}" if saving.p < SMALLEST else f"{saving.p:.2g}"
        table.add_row(result.what, percent(saving.mean), f"{percent(saving.low)} to {percent(saving.high)}", p)
    return table


def _same(results: Sequence[Result]) -> Iterator[str]:
    """One line for each way that has the runs of another."""
    named = {result.name: result.what for result in results}
    return (f"{one.what}: the same runs as {named[one.same]}" for one in results if one.same is not None)


def _choice(found: Compared, plan: Plan) -> Iterator[str]:
    """How the best fixed shape was found by training, and what that took; nothing if there was only one."""
    if found.choice is None or not found.choice.rounds:
        return
    first, last = found.choice.rounds[0], found.choice.rounds[-1]
    times = found.choice.spent / (plan.totals.compute or math.inf) / len(found.seeds)
    yield (
        f"to find the best of {len(first.values)} fixed shapes by {found.metric}: {found.choice.runs} more runs, "
        f"{flops(found.choice.spent)}, {times:.2g} times the plan's"
    )
    values = ", ".join(f"{shape.written(plan.units)} {error(value, found.metric)}" for shape, value in last.values)
    length = flops(last.compute or 0.0) if last.seconds is None else duration(last.seconds, 4)
    yield f"after {length} each: {values}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    if len(known) < len(values):
        return f"{len(known)} of {len(values)} seeds"
    mean = statistics.mean(known)
    return f"{mean:.4g}" if len(known) == 1 else f"{mean:.4g} ± {statistics.stdev(known):.2g}"
