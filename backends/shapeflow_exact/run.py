"""Carries out a plan on the exact machine and logs its events in a run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_text
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.running.follow import Course, Goal, Listen, Outcome, follow
from shapeflow.running.lock import Lock
from shapeflow.running.run_folder import earlier_end, remember, require_plan, require_startable
from shapeflow.running.run_log import DATA, EVENTS, PLAN
from shapeflow.running.stop import Stop
from shapeflow_exact.machine import METRIC, ExactMachine

NAME = "exact"
"""The machine that `data.json` names."""


def run(
    plan: Plan,
    folder: Path,
    *,
    device: str = "auto",
    processes: int | None = None,
    gpus: int | None = None,
    resume: bool = False,
    root: Path | None = None,
    compile: str = "auto",
    until: Goal | None = None,
    pause: int | None = None,
    file: str = "FILE",
    origin: tuple[Path, int | None] | None = None,
    listen: Listen = lambda event: None,
    warn: Callable[[Diagnostic], None] = lambda diagnostic: None,
) -> Outcome:
    """Carry out a plan; the arguments are those of `shapeflow_torch.run.run`. An interrupted run starts again.

    Raises Refused `not-exact`, `unstable-step`, `one-process`, `no-such-metric`, `run-exists`, `run-busy`,
    `other-plan`, `other-machine`, `no-checkpoint`, `disk-full`, `cannot-write`."""
    del compile, warn, file
    if gpus is not None or device == "cuda" or (processes or 1) > 1:
        message, help_ = "the exact machine runs on one processor core", "leave out `--gpus`, `--device`, `--processes`"
        raise Refused(Diagnostic("one-process", message, place="command line", help=help_))
    if origin is not None:
        message, help_ = (
            "the exact machine keeps no checkpoints to start from",
            "leave out `--from`: a run takes seconds",
        )
        raise Refused(Diagnostic("no-checkpoint", message, place="--from", help=help_))
    if until is not None and until[0] != METRIC:
        message, help_ = f"the run does not measure `{until[0]}`", f"use this one: {METRIC}"
        raise Refused(Diagnostic("no-such-metric", message, place="--until", help=help_))
    with Stop() as stop:
        machine = ExactMachine(plan, stop)
        lock = Lock(folder)
        try:
            require_startable(folder, resume, NAME)
            require_plan(folder, plan, NAME)
            if (outcome := earlier_end(folder, until)) is not None:
                return outcome
            _prepare(plan, folder, root or Path.cwd())
            return follow(plan, machine, folder, Course(until=until, pause=pause), listen)
        finally:
            lock.release()


def _prepare(plan: Plan, folder: Path, root: Path) -> None:
    """Write the plan and the description of its data, and an empty log. Raises Refused."""
    if not (folder / PLAN).exists():
        plan_json.save(plan, folder / PLAN)
    assert plan.data is not None
    about: dict[str, Any] = {"data": plan.data.name, **plan.data.settings, "machine": NAME}
    about["sha256"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    write_text(folder / DATA, json.dumps(about, indent=1, sort_keys=True) + "\n")
    remember(folder, root)
    write_text(folder / EVENTS, "")
