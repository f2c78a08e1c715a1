"""The folder of a run.

plan.json       the plan; its digest identifies the checkpoints that belong to it
data.json       description and digest of the data
run.json        where the data's paths begin
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
from shapeflow.running.follow import Outcome
from shapeflow.running.run_folder import earlier_end, launched_by, remember, require_startable
from shapeflow.running.run_log import ABOUT, CHECKPOINTS, DATA, EVENTS, PLAN
from shapeflow_torch.checkpoint import newest, step_of, tidy
from shapeflow_torch.choices import Choices


@attrs.frozen
class Start:
    """Where a run begins. `checkpoint`: the one that it goes on from; None: from the beginning. `outcome`: that of a
    run that is finished already; None: there are steps to make."""

    checkpoint: Path | None
    outcome: Outcome | None = None


def prepare(choices: Choices, plan: Plan, data: Mapping[str, Any], warn: Callable[[Diagnostic], None]) -> Start:
    """Prepare a folder for a run.

    Raises Refused `run-exists`, `no-run`, `other-plan`, `other-machine`, `broken-checkpoint`, `foreign-checkpoint`,
    `data-changed`, before anything is written; and `cannot-write`, `disk-full`.
    """
    folder = choices.folder
    again = choices.launch is not None and launched_by(folder, choices.launch)
    resume = choices.resume or again
    require_startable(folder, plan, resume, "torch")
    found = intact(folder / CHECKPOINTS, warn)
    done = 0 if found is None else step_of(found, plan.digest)
    if done == plan.steps and (outcome := earlier_end(folder, choices.until)) is not None:
        return Start(found, outcome)
    if resume and (folder / DATA).exists():
        _check_data(folder, data)
    _clear(folder, found)
    if not (folder / PLAN).exists():
        plan_json.save(plan, folder / PLAN)
    write_text(folder / DATA, json.dumps(data, indent=1, sort_keys=True) + "\n")
    remember(folder, choices.root, choices.launch)
    write_text(folder / EVENTS, lines_until(folder / EVENTS, done))
    return Start(found)


def _clear(folder: Path, found: Path | None) -> None:
    """Remove what a killed process left in a folder. Its next write may never come: the last checkpoint may exist."""
    tidy(folder / CHECKPOINTS, found)
    for name in (PLAN, DATA, ABOUT, EVENTS):
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
