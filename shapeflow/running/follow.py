"""Executes a plan on a machine and logs its events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import attrs

from shapeflow.ir.events import Event, Measured, RunEnded, RunStarted
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import Machine, execute
from shapeflow.running.meter import Gauged, Hardware, Meter
from shapeflow.running.options import Goal
from shapeflow.running.run_log import Log

Listen = Callable[[Event], None]


@attrs.frozen
class Outcome:
    """How a run ended. `reached`: whether the last held-out value meets the goal of the run; `values`: the last
    held-out values; `seconds`: time that this process spent on steps until that measurement."""

    finished: bool
    reached: bool
    step: int
    compute: float
    values: Mapping[str, float]
    seconds: float
    stopped_by: str | None = None
    """Why it ended before the end of the plan: the name of a signal, `until` or `pause`."""
    before: bool = False
    """Whether the run was finished already, so that nothing was done."""
    trace: str | None = None
    """Path of the trace of the steps that were recorded, if any were."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal stopped it, and `--resume` continues it."""
        return self.stopped_by not in (None, "until", "pause")


@attrs.frozen
class Course:
    """Where a run begins, and what ends it early."""

    checkpoints: Path | None = None
    """Where checkpoints are written; None: nowhere."""
    resume: Path | None = None
    """The checkpoint that it continues from."""
    until: Goal | None = None
    pause: int | None = None
    """The step after which the run ends early."""
    micro_batch: Mapping[str, int] | None = None
    """Shape -> samples that a process computes at once, where that was chosen by the memory there is."""
    hardware: Hardware | None = None
    """What the run computes on; None: its events do not say how fast it is. The machine is then `Gauged`."""


def reaches(values: Mapping[str, float], goal: Goal | None) -> bool:
    """Whether held-out values meet a goal."""
    return goal is not None and values.get(goal[0], math.inf) <= goal[1]


def follow(plan: Plan, machine: Machine, folder: Path | None, course: Course, listen: Listen) -> Outcome:
    """Execute the plan on the machine. `folder`: where events are logged; None in a process that does not lead, which
    does not call `listen` either."""
    log = None if folder is None else Log(folder, plan.steps)
    meter = None if log is None or course.hardware is None else Meter(plan, course.hardware, cast(Gauged, machine))
    measured: Measured | None = None
    ended: RunEnded | None = None
    sync = log.sync if log is not None else lambda: None
    try:
        for event in execute(plan, machine, course.checkpoints, course.resume, course.until, course.pause, sync):
            if isinstance(event, RunStarted):
                event = attrs.evolve(event, micro_batch=course.micro_batch)
            if log is not None:
                event = event if meter is None else meter.read(event, log.keeps(event))
                log.write(event)
                listen(event)
            measured = event if isinstance(event, Measured) else measured
            ended = event if isinstance(event, RunEnded) else ended
    finally:
        if log is not None:
            log.close()
    if ended is None:
        raise RuntimeError("the loop ended without an end")
    values, seconds = ({}, 0.0) if measured is None else (measured.values, measured.seconds)
    reached = reaches(values, course.until)
    return Outcome(ended.finished, reached, ended.step, ended.compute, values, seconds, ended.stopped_by)
