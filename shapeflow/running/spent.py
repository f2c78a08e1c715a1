"""The time that a run has spent on training, against the time that its profile predicts."""

from __future__ import annotations

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.events import RunStarted, StageEntered, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.runs import Run

OFF = 0.1
"""A profile whose steps differ from those of the run by more than this share is off."""
PERCENTILE = 10
"""Of the seconds of a run's steps: that of a profile (`Pace.step`), which disturbed steps do not change."""
WARM = 3
"""Logged steps after a start or a switch that are not counted: they compile, allocate and fill caches."""
LEAST = 8
"""Number of counted steps below which nothing is said of a shape."""


@attrs.frozen
class Spent:
    """What the training steps of a run took until its last measurement, in seconds."""

    measured: float
    planned: float
    """By the profile, for as many steps."""
    off: tuple[Off, ...]
    """Shapes in which the profile is off."""

    @property
    def excess(self) -> float:
        """The share by which it took longer than planned; negative if it took less."""
        return self.measured / self.planned - 1


@attrs.frozen
class Off:
    """A shape whose steps take other times than the profile says, in seconds."""

    shape: Shape
    measured: float
    profile: float


def spent(run: Run) -> Spent | None:
    """The time that a run has spent; None without a profile, and before the first measurement."""
    done = run.measured[-1].step if run.measured else 0
    planned = planned_seconds(run.plan, done)
    return None if not planned or not run.trained else Spent(run.trained, planned, _off(run))


def planned_seconds(plan: Plan, done: int) -> float | None:
    """Seconds of the first steps of a plan by its profile, in equal parts over the steps of each stage, and of the
    switches before them; None without a profile."""
    stage = plan.stages[plan.stage_at(done)]
    before, after = stage.enter.seconds, stage.leave.seconds
    if before is None or after is None:
        return None
    if done > stage.first_step and stage.transition is not None:
        before += stage.transition.delay or 0.0
    return before + (after - before) * (done - stage.first_step) / (stage.last_step - stage.first_step)


def _off(run: Run) -> tuple[Off, ...]:
    profile = {one.shape: one.step_seconds for one in run.plan.candidates}
    found = list[Off]()
    for shape, seconds in _seconds(run).items():
        said = profile.get(shape)
        if said is None or len(seconds) < LEAST:
            continue
        measured = float(np.percentile(seconds, PERCENTILE))
        if abs(measured / said - 1) > OFF:
            found.append(Off(shape, measured, said))
    return tuple(found)


def _seconds(run: Run) -> dict[Shape, list[float]]:
    """The seconds of the logged steps in each shape, without those after a start or a switch."""
    found, since = dict[Shape, list[float]](), 0
    for event in run.events:
        if isinstance(event, RunStarted | StageEntered):
            since = 0
        elif isinstance(event, StepDone):
            since += 1
            if since > WARM:
                found.setdefault(event.shape, []).append(event.seconds)
    return found
