"""Running a plan: what every process does, and what the caller gets."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import Event, Measured, RunEnded
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import execute
from shapeflow_torch import distribute
from shapeflow_torch.compilation import Compile, wants_compile
from shapeflow_torch.data import Data, open_data
from shapeflow_torch.devices import place
from shapeflow_torch.folder import CHECKPOINTS, Lock, Log, prepare
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.measure import metrics
from shapeflow_torch.stop import Stop
from shapeflow_torch.team import Team
from shapeflow_torch.workload import check_shares

SMALL_STEP = 5e9
"""FLOPs of a step that one processor core does in well under a tenth of a second."""

Listen = Callable[[Event], None]
Warn = Callable[[Diagnostic], None]
Goal = tuple[str, float]
"""A metric, and the value at which a run may end early."""


@attrs.frozen
class Outcome:
    """How a run ended. `reached`: it ended early, at the goal it was given; `values`: the last held-out values;
    `seconds`: time of the steps of this process until then."""

    finished: bool
    reached: bool
    step: int
    compute: float
    values: Mapping[str, float]
    seconds: float


@attrs.frozen
class Choices:
    """What a run is told beside its plan; the same in every process."""

    folder: Path
    root: Path
    """Where relative data paths start."""
    resume: bool
    compile: Compile
    until: Goal | None


def print_warning(diagnostic: Diagnostic) -> None:
    """A warning as one line on the standard error."""
    notes = "".join(f" ({note})" for note in diagnostic.notes)
    print(f"warning: {diagnostic.code}: {diagnostic.message}{notes}", file=sys.stderr)


def run(
    plan: Plan,
    folder: Path,
    *,
    device: str = "auto",
    processes: int | None = None,
    gpus: int | None = None,
    resume: bool = False,
    root: Path | None = None,
    compile: Compile = "auto",
    until: Goal | None = None,
    listen: Listen = lambda event: None,
    warn: Warn = print_warning,
) -> Outcome | None:
    """Train what a plan says, in a folder (see `folder.py`); SIGINT or SIGTERM end it after a checkpoint.

    `device`: auto, cpu or cuda; `processes`: how many share every step; `gpus`: as many processes on a GPU each;
    `root`: where relative data paths start (the working directory); `until`: end early, after a checkpoint, once a
    held-out value is this low. Where RANK and WORLD_SIZE are set (by torchrun, say) this process joins the others and
    launches none; only the leader then calls `listen`, the others return None.

    Raises Refused: `no-such-device`, `no-such-gpus`, `no-processes`, `contradicting-devices`, `bad-launch`, `no-model`,
    `no-such-model`, `no-such-data`, `no-such-objective`, `no-such-metric`, `no-such-view`, `data-missing`,
    `data-changed`, `data-mismatch`, `broken-image`, `context-too-long`, `no-document-ends`, `batch-not-divisible`,
    `run-exists`, `no-run`, `run-busy`, `run-finished`, `other-plan`, `foreign-checkpoint`, `broken-checkpoint`,
    `loss-not-finite`, `worker-lost`, `disk-full`, `cannot-write`, `not-arrived`, `wrong-parameters`,
    `teacher-missing`, `teacher-broken`, `teacher-changed`.
    """
    choices = Choices(folder, root or Path.cwd(), resume, compile, until)
    if distribute.joins():
        with distribute.joined(device) as team, Stop() as stop:
            outcome = train(plan, choices, team, stop, listen, warn)
            return outcome if team.leads else None
    where = place(device, processes, gpus)
    if where.processes > 1:
        check_shares(plan, where.processes)
        return distribute.launch(plan, choices, where, listen, warn)
    with Stop() as stop:
        return train(plan, choices, Team(device=where.device(0)), stop, listen, warn)


def train(plan: Plan, choices: Choices, team: Team, stop: Callable[[], bool], listen: Listen, warn: Warn) -> Outcome:
    """What each process of a run does; the leader alone writes, listens and warns. Raises what `run` raises."""
    if team.device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        _choose_threads(plan)
    check_shares(plan, team.world)
    data = open_data(plan, choices.root, team.device)
    if choices.until is not None:
        _check_goal(choices.until[0], data, plan)
    compiled = wants_compile(choices.compile, team.device)
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


def _choose_threads(plan: Plan) -> None:
    """One thread where steps are small: several then wait for each other longer than they compute, on a busy machine
    many times longer. OMP_NUM_THREADS says otherwise."""
    largest = max(stage.cost for stage in plan.stages)
    if "OMP_NUM_THREADS" not in os.environ and largest < SMALL_STEP:
        torch.set_num_threads(1)


def _follow(plan: Plan, machine: TorchMachine, choices: Choices, resume: Path | None, listen: Listen) -> Outcome:
    """Drive the machine through the plan; the leader writes down what happens."""
    log = Log(choices.folder, plan.steps) if machine.team.leads else None
    measured: Measured | None = None
    ended: RunEnded | None = None
    try:
        for event in execute(plan, machine, choices.folder / CHECKPOINTS, resume, choices.until):
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
