"""Shows a run in progress: a bar on a terminal, else one line per measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from shapeflow.ir.events import CheckpointSaved, Event, Measured, RunEnded, RunStarted, StageEntered, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.preview.intervals import expectation
from shapeflow.preview.numbers import count, duration, error, flops, share
from shapeflow.preview.pace import rate
from shapeflow.preview.screen import console
from shapeflow.running.spent import OFF, planned_seconds

SETTLED = 50
"""Steps of a process before its time is compared with the profile: the first ones compile and fill caches."""


@attrs.define
class Live:
    """Shows the events of one run as they come."""

    plan: Plan
    out: Console
    bar: Progress | None = None
    task: TaskID | None = None
    measured: str = ""
    """The last held-out value and its prediction by the laws, as text."""
    pace: str = ""
    """How fast the last steps were, as text."""
    begun: float = attrs.field(factory=time.monotonic)
    first: int = 0
    """Steps that were done before this process began."""
    off: bool = False
    """Whether it was said that the profile is off."""

    def listen(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted(step=step, micro_batch=counts):
                self.first = step
                if self.plan.evaluation is not None and step < self.plan.steps:
                    self.out.print(f"  evaluation adds {share(self.plan.evaluation)} to the compute of the steps")
                if step:
                    self.out.print(f"  resuming after step {count(step)}")
                if counts:
                    said = ", ".join(f"{number} at {shape}" for shape, number in counts.items())
                    self.out.print(f"  samples at once: {said}")
            case StageEntered(stage=stage, shape=shape, step=step):
                by = self.plan.stages[stage].arrives_by
                name = shape.written(self.plan.units)
                self.out.print(f"  step {count(step)}: stage {stage + 1} of {len(self.plan.stages)}, {name}, by {by}")
            case Measured():
                self.measured = self._beside(event)
                self.out.print(f"  {self._measured(event)}{self._spent(event)}")
                self._warn(event)
            case RunEnded(step=step, compute=compute, finished=finished):
                seconds = time.monotonic() - self.begun
                word = "done" if finished else "stopped"
                self.out.print(f"  {word} after step {count(step)}, {flops(compute)}, {seconds:.1f} s")
            case StepDone():
                self._step(event)
            case CheckpointSaved() | _:
                pass

    def _step(self, event: StepDone) -> None:
        self.pace = rate(self.plan, event) or self.pace
        if self.bar is not None and self.task is not None:
            place, spent = f"stage {event.stage + 1}/{len(self.plan.stages)}", flops(event.compute, 3)
            self.bar.update(
                self.task,
                completed=event.step,
                stage=place,
                loss=f"loss {event.loss:.3f}",
                compute=spent,
                held=self.measured,
                pace=self.pace,
            )

    def _beside(self, event: Measured) -> str:
        metric = self.plan.metric
        if metric not in event.values:
            return ""
        expected = "" if event.predicted is None else f", predicted {expectation(self.plan, event)}"
        return f"{metric} {error(event.values[metric], metric)}{expected}"

    def _measured(self, event: Measured) -> str:
        metric = self.plan.metric
        names = sorted(event.values, key=lambda name: (name != metric, name))
        said = {name: f"{name} {error(event.values[name], name)}" for name in names}
        if event.predicted is not None and metric in said:
            said[metric] += f" (predicted {expectation(self.plan, event)})"
        part = f"step {count(event.step)} of {count(self.plan.steps)}, {flops(event.compute, 3)}"
        pace = f", {self.pace}" if self.pace else ""
        return f"{part}: {', '.join(said.values())}{pace}"

    def _planned(self, event: Measured) -> float:
        """The seconds that the profile predicts for the steps of this process; 0 without a profile."""
        done, before = (planned_seconds(self.plan, step) for step in (event.step, self.first))
        return 0.0 if done is None or before is None else done - before

    def _spent(self, event: Measured) -> str:
        planned = self._planned(event)
        if planned <= 0:
            return ""
        since = f" since step {count(self.first)}" if self.first else ""
        return f", {duration(event.seconds, 3)} of training{since}, {duration(planned, 3)} planned"

    def _warn(self, event: Measured) -> None:
        """Say once that the profile is off."""
        planned = self._planned(event)
        if self.off or planned <= 0 or event.step - self.first < SETTLED:
            return
        excess = event.seconds / planned - 1
        if abs(excess) > OFF:
            self.off = True
            word = "longer" if excess > 0 else "less"
            self.out.print(f"  training takes {100 * abs(excess):.0f}% {word} than the profile predicts")


@contextmanager
def live(plan: Plan) -> Iterator[Live]:
    """Show a run on stderr while it runs."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield Live(plan, out)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[stage]}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("{task.fields[compute]}"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[held]}"),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("run", total=plan.steps, stage="", loss="", compute="", held="", pace="")
        yield Live(plan, out, bar, task)
