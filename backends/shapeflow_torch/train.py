"""Trains a plan in one process of a run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import Event, Measured, RunEnded
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import execute
from shapeflow_torch.compilation import Compile, wants_compile
from shapeflow_torch.data import Data, open_data
from shapeflow_torch.folder import CHECKPOINTS, Lock, Log, prepare
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.measure import metrics
from shapeflow_torch.team import Team
from shapeflow_torch.workload import check_shares

SMALL_STEP = 5e9
"""Steps with fewer FLOPs run on one thread: one processor core does them in well under 0.1 s."""

Listen = Callable[[Event], None]
Warn = Callable[[Diagnostic], None]
Goal = tuple[str, float]
"""A metric, and the value at or below which a run ends early."""


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


@attrs.frozen
class Choices:
    """Options of a run in addition to its plan. They are the same in every process."""

    folder: Path
    root: Path
    """Base directory of relative data paths."""
    resume: bool
    compile: Compile
    until: Goal | None
    pause: int | None = None
    """The step after which the run ends early, after a checkpoint."""


def train(plan: Plan, choices: Choices, team: Team, stop: Callable[[], bool], listen: Listen, warn: Warn) -> Outcome:
    """Train a plan in this process. Only the leader writes files and calls `listen` and `warn`. Raises what `run.run`
    raises."""
    compiled = wants_compile(choices.compile, team.device)
    if team.device.type == "cpu":
        be_deterministic(compiled)
        choose_threads(plan)
    check_shares(plan, team.world)
    data = open_data(plan, choices.root, team.device)
    if choices.until is not None:
        _check_goal(choices.until[0], data, plan)
    machine = TorchMachine(plan, data, team, compiled=compiled, stop=stop, root=choices.root)
    locks: list[Lock] = []

    def ready() -> Path | None:
        locks.append(Lock(choices.folder))
        return prepare(choices.folder, plan, data.describe(), choices.resume, warn)

    try:
        return _follow(plan, machine, choices, team.share(ready), listen)
    finally:
        for lock in locks:
            lock.release()


def be_deterministic(compiled: bool) -> None:
    """Make torch raise an error on nondeterministic operations.

    Only compiled code needs `use_deterministic_algorithms`, which imports the compiler and takes 0.5 s longer."""
    if compiled:
        torch.use_deterministic_algorithms(True)
    else:
        torch.set_deterministic_debug_mode("error")


def choose_threads(plan: Plan) -> None:
    """Use one thread if steps are small, unless OMP_NUM_THREADS is set.

    With small steps, several threads wait for each other longer than they compute, especially on a busy machine."""
    largest = max(stage.cost for stage in plan.stages)
    if "OMP_NUM_THREADS" not in os.environ and largest < SMALL_STEP:
        torch.set_num_threads(1)


def _follow(plan: Plan, machine: TorchMachine, choices: Choices, resume: Path | None, listen: Listen) -> Outcome:
    """Execute the plan on the machine. The leader logs all events."""
    log = Log(choices.folder, plan.steps) if machine.team.leads else None
    measured: Measured | None = None
    ended: RunEnded | None = None
    try:
        for event in execute(plan, machine, choices.folder / CHECKPOINTS, resume, choices.until, choices.pause):
            if log is not None:
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
    goal = choices.until
    reached = goal is not None and values.get(goal[0], math.inf) <= goal[1]
    return Outcome(ended.finished, reached, ended.step, ended.compute, values, seconds)


def _check_goal(metric: str, data: Data, plan: Plan) -> None:
    known = metrics(data, plan.metric)
    if metric not in known:
        message = f"the run does not measure `{metric}`"
        help_ = f"use one of these: {', '.join(known)}"
        raise Refused(Diagnostic("no-such-metric", message, place="--until", help=help_))
