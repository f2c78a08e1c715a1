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
from shapeflow.running.follow import Course, Listen, Outcome, follow
from shapeflow.running.lock import Lock
from shapeflow.running.options import Options
from shapeflow.running.run_folder import earlier_end, remember, require_plan, require_startable
from shapeflow.running.run_log import DATA, EVENTS, PLAN
from shapeflow.running.stop import Stop
from shapeflow_exact.machine import METRIC, ExactMachine

NAME = "exact"
"""The machine that `data.json` names."""


def run(
    plan: Plan,
    folder: Path,
    options: Options,
    listen: Listen = lambda event: None,
    warn: Callable[[Diagnostic], None] = lambda diagnostic: None,
) -> Outcome:
    """Carry out a plan; options of memory and compilation do not apply. An interrupted run starts again.

    Raises Refused `not-exact`, `unstable-step`, `one-process`, `no-such-metric`, `run-exists`, `run-busy`,
    `other-plan`, `other-machine`, `no-checkpoint`, `disk-full`, `cannot-write`."""
    del warn
    if options.gpus is not None or options.device == "cuda" or (options.processes or 1) > 1:
        message, help_ = "the exact machine runs on one processor core", "leave out `--gpus`, `--device`, `--processes`"
        raise Refused(Diagnostic("one-process", message, place="command line", help=help_))
    if options.origin is not None:
        message, help_ = (
            "the exact machine keeps no checkpoints to start from",
            "leave out `--from`: a run takes seconds",
        )
        raise Refused(Diagnostic("no-checkpoint", message, place="--from", help=help_))
    if options.until is not None and options.until[0] != METRIC:
        message, help_ = f"the run does not measure `{options.until[0]}`", f"use this one: {METRIC}"
        raise Refused(Diagnostic("no-such-metric", message, place="--until", help=help_))
    with Stop() as stop:
        machine = ExactMachine(plan, stop)
        lock = Lock(folder)
        try:
            require_startable(folder, options.resume, NAME)
            require_plan(folder, plan, NAME)
            if (outcome := earlier_end(folder, options.until)) is not None:
                return outcome
            _prepare(plan, folder, options.root)
            return follow(plan, machine, folder, Course(until=options.until, pause=options.pause), listen)
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
