"""Shows a run: its last measurement, and the predicted and measured values of each stage."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.ir.events import Measured, RunBranched
from shapeflow.preview.intervals import expectation
from shapeflow.preview.numbers import count, error, flops, scale
from shapeflow.preview.pace import paces
from shapeflow.preview.spent import spent_lines
from shapeflow.preview.standing import standing_lines, state_words
from shapeflow.running.runs import Run
from shapeflow.running.standing import standing


def run_view(run: Run) -> RenderableType:
    """The output of `shapeflow show RUN`, and of `shapeflow run` at the end."""
    found = standing(run)
    title = Text(f"{run.plan.name or run.folder} ({run.folder}): {state_words(found)}", style="bold")
    what = Text(f"  {run.plan.metric} at the end of each stage, predicted and measured:")
    lines = (*standing_lines(found), *last_lines(run))
    said = Padding(Text("\n".join(lines)), (0, 0, 0, 2))
    return Group(title, Text(), said, Text(), what, stage_table(run))


def stage_table(run: Run) -> Table:
    """A table of the predicted and measured values at the end of each stage."""
    plan = run.plan
    names = metrics(run)
    prefix, size = scale(plan.totals.compute or 0.0)
    table = Table(box=None, padding=(0, 2))
    table.add_column("stage")
    for axis in plan.axes:
        table.add_column(axis.name, overflow="fold")
    table.add_column("until step", justify="right")
    table.add_column(f"compute, {prefix}FLOPs", justify="right")
    table.add_column("predicted", justify="right")
    for name in names:
        # The loss of one of several corpora follows that of all: `/code` after `loss@longest`.
        heading = "measured" if name == plan.metric else name[max(0, name.find("/")) :]
        table.add_column(heading, justify="right", overflow="fold", no_wrap=True)
    for number, stage in enumerate(plan.stages, 1):
        found = _at(run, stage.last_step)
        cells = [f"{stage.shape[axis.name]} {axis.unit}".rstrip() for axis in plan.axes]
        cells += [count(stage.leave.step), f"{(stage.leave.compute or 0) / size:.4g}"]
        cells += [error(stage.leave.error, plan.metric)]
        cells += [error(found.values.get(name), name) if found else "-" for name in names]
        table.add_row(str(number), *cells)
    return table


def metrics(run: Run) -> list[str]:
    """The measured metrics; the metric of the plan comes first."""
    found = list(dict.fromkeys(name for event in run.measured for name in event.values))
    return sorted(found, key=lambda name: (name != run.plan.metric, name))


def _at(run: Run, step: int) -> Measured | None:
    return next((event for event in reversed(run.measured) if event.step == step), None)


def last_lines(run: Run) -> Iterator[str]:
    """What was measured last, what was predicted for it, and the time that it took."""
    for event in run.events:
        if isinstance(event, RunBranched) and event.folder:
            differs = "" if event.differs is None else f": {event.differs}"
            yield f"the first {count(event.step)} steps are those of `{event.folder}`{differs}"
    if not run.measured:
        yield "nothing has been measured yet"
        return
    last = run.measured[-1]
    before = _before_cooldown(run)
    if before is not None:
        at = f"at step {count(before.step)}, after {flops(before.compute)}"
        yield f"before the cooldown, {at}: {_values(run, before)}"
        yield from _predicted(run, before)
    yield f"at step {count(last.step)}, after {flops(last.compute)}: {_values(run, last)}"
    known = last.errors.get(run.plan.metric)
    if known is not None:
        said = error(known, run.plan.metric)
        yield f"standard error {said}, over other held-out data of this size; all values of the run use the same data"
    if before is None:
        yield from _predicted(run, last)
    yield f"{run.trained:.1f} s of training, {run.evaluated:.1f} s of evaluation"
    yield from spent_lines(run)
    yield from paces(run)


def measured_lines(run: Run) -> Iterator[str]:
    """The last measurement, and what was predicted; nothing for a run without one."""
    if not run.measured:
        return
    last = run.measured[-1]
    yield f"at step {count(last.step)}, after {flops(last.compute)}: {_values(run, last)}"
    yield from _predicted(run, _before_cooldown(run) or last)


def _before_cooldown(run: Run) -> Measured | None:
    """The measurement at the beginning of the cooldown, which laws predict; None if none has begun."""
    cools = run.plan.cools_from
    return _at(run, cools) if cools is not None and cools < run.measured[-1].step else None


def _predicted(run: Run, at: Measured) -> Iterator[str]:
    """Yield what the laws predict for a measurement. Laws do not predict the effect of a cooldown."""
    metric = run.plan.metric
    if at.predicted is not None and metric in at.values:
        expected = expectation(run.plan, at)
        yield f"the laws predicted {expected} at step {count(at.step)}; measured: {error(at.values[metric], metric)}"


def _values(run: Run, measured: Measured) -> str:
    found = measured.values
    return ", ".join(f"{name} {error(found[name], name)}" for name in metrics(run) if name in found)
