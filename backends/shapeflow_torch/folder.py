"""The folder of a run.

plan.json       the plan; its digest identifies the checkpoints that belong to it
data.json       description and digest of the data
events.jsonl    event log, one JSON object per line; of the steps, only every N-th is logged
checkpoints/    the two newest checkpoints
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, remove_temporary, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.ir import plan_json
from shapeflow.ir.events import CheckpointSaved, RunEnded, TransitionApplied, event_from_json, event_to_json
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import checkpoint_name
from shapeflow.running.run_log import CHECKPOINTS, DATA, EVENTS, PLAN, require_machine
from shapeflow_torch.checkpoint import newest, step_of, tidy


def prepare(
    folder: Path, plan: Plan, data: Mapping[str, Any], resume: bool, warn: Callable[[Diagnostic], None]
) -> Path | None:
    """Prepare a folder for a run. Returns the checkpoint to resume from, or None to start from the beginning.

    Raises Refused `run-exists`, `no-run`, `other-plan`, `other-machine`, `broken-checkpoint`, `foreign-checkpoint`,
    `run-finished`, `data-changed`, before anything is written; and `cannot-write`, `disk-full`.
    """
    exists = (folder / EVENTS).exists() or (folder / CHECKPOINTS).exists()
    if exists and not resume:
        help_ = "continue it with `--resume`, or choose another folder"
        raise Refused(Diagnostic("run-exists", f"`{folder}` already contains a run", place=str(folder), help=help_))
    # A folder with only a plan belongs to a run that stopped before its first event.
    if resume and not exists and not (folder / PLAN).exists():
        raise Refused(Diagnostic("no-run", f"`{folder}` contains no run to resume", place=str(folder)))
    if (folder / PLAN).exists():
        _check_plan(folder, plan)
    require_machine(folder, "torch")
    found = intact(folder / CHECKPOINTS, warn)
    done = 0 if found is None else step_of(found, plan.digest)
    if done and done == plan.steps and _ended(folder / EVENTS):
        message = f"the run in `{folder}` is finished: all {done} steps are done"
        raise Refused(Diagnostic("run-finished", message, place=str(folder)))
    if resume and (folder / DATA).exists():
        _check_data(folder, data)
    _clear(folder, found)
    if not (folder / PLAN).exists():
        plan_json.save(plan, folder / PLAN)
    write_text(folder / DATA, json.dumps(data, indent=1, sort_keys=True) + "\n")
    write_text(folder / EVENTS, lines_until(folder / EVENTS, done))
    return found


def _clear(folder: Path, found: Path | None) -> None:
    """Remove what a killed process left in a folder. Its next write may never come: the last checkpoint may exist."""
    tidy(folder / CHECKPOINTS, found)
    for name in (PLAN, DATA, EVENTS):
        remove_temporary(folder / name)


def intact(folder: Path, warn: Callable[[Diagnostic], None]) -> Path | None:
    """Return the newest intact checkpoint, or None if there are no checkpoints. Raises Refused if all are broken."""
    broken: list[Diagnostic] = []
    found = newest(folder, broken.append)
    if found is None and broken:
        help_ = f"no checkpoint is intact: restore one, or remove `{folder}` to start from the beginning"
        raise Refused(*(attrs.evolve(each, severity="error", help=help_) for each in broken))
    for each in broken:
        warn(each)
    return found


def _ended(path: Path) -> bool:
    """Return whether the last event of a log is the end of a finished run. A run killed just before that event can
    still be resumed."""
    lines = read_text(path).splitlines() if path.exists() else []
    try:
        last = event_from_json(parse_json(lines[-1], finite=False))
    except (IndexError, ValueError, TypeError):
        return False
    return isinstance(last, RunEnded) and last.finished


def _check_plan(folder: Path, plan: Plan) -> None:
    other = plan_json.load(folder / PLAN).digest
    if other != plan.digest:
        message = f"the run in `{folder}` follows another plan"
        notes = (f"its plan: {other}", f"this plan: {plan.digest}")
        help_ = "choose another folder, or resume with the plan inside it"
        raise Refused(Diagnostic("other-plan", message, place=str(folder), notes=notes, help=help_))


def _check_data(folder: Path, data: Mapping[str, Any]) -> None:
    try:
        found = parse_json(read_text(folder / DATA), finite=False)
    except ValueError:
        found = None
    before = found if isinstance(found, dict) else {}
    if before.get("sha256") != data["sha256"]:
        message = "the data differs from what the run began with"
        notes = (f"then: {before.get('sha256')}", f"now: {data['sha256']}")
        help_ = f"restore the data that `{folder / DATA}` describes, or start a new run"
        raise Refused(Diagnostic("data-changed", message, place="data", notes=notes, help=help_))


def lines_until(path: Path, done: int) -> str:
    """Return the lines of a log up to and including the checkpoint at `done` steps. Reading stops at a truncated line.

    If the run was killed after it wrote the checkpoint, and before or while it logged it, that line is added."""
    if not done or not path.exists():
        return ""
    kept, saved = [], CheckpointSaved(done, checkpoint_name(done))
    for line in read_text(path).splitlines():
        try:
            event = event_from_json(parse_json(line, finite=False))
        except (ValueError, TypeError):
            break
        if event.step > done or isinstance(event, RunEnded):
            break
        # A checkpoint belongs before the switch that follows its step.
        if event == saved or (isinstance(event, TransitionApplied) and event.step == done):
            break
        kept.append(line)
    kept.append(json.dumps(event_to_json(saved)))
    return "".join(f"{line}\n" for line in kept)
