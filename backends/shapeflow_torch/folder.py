"""The folder of a run.

plan.json       the plan; its digest identifies the checkpoints that belong to it
plan-*.json     plans that the run followed before (see `branch.py`)
data.json       description and digest of the data
run.json        where the data's paths begin
events.jsonl    event log, one JSON object per line; of the steps, only every N-th is logged
checkpoints/    the newest two checkpoints, or those that the plan keeps
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, remove_temporary, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.ir.retention import retained
from shapeflow.running.follow import Outcome
from shapeflow.running.run_folder import earlier_end, launched_by, remember, require_startable
from shapeflow.running.run_log import ABOUT, CHECKPOINTS, DATA, EVENTS, PLAN
from shapeflow_torch.advice import in_new_folder
from shapeflow_torch.checkpoint import newest, step_of, tidy
from shapeflow_torch.choices import Choices
from shapeflow_torch.lineage import earlier_plan, hand_over, lines_until
from shapeflow_torch.weight_files import require_start


@attrs.frozen
class Start:
    """Where a run begins. `checkpoint`: the one that it goes on from; None: from the beginning. `outcome`: that of a
    run that is finished already; None: there are steps to make."""

    checkpoint: Path | None
    outcome: Outcome | None = None


def prepare(choices: Choices, plan: Plan, data: Mapping[str, Any], warn: Callable[[Diagnostic], None]) -> Start:
    """Prepare a folder for a run.

    Raises Refused `run-exists`, `no-run`, `other-machine`, `broken-checkpoint`, `foreign-checkpoint`, `data-changed`,
    `other-history`, `start-missing`, `start-broken`, `start-changed`, before anything is written; and `cannot-write`,
    `disk-full`.
    """
    folder, resume = choices.folder, choices.options.resume or restarted(choices)
    require_startable(folder, resume, "torch")
    found = intact(folder / CHECKPOINTS, warn)
    before = earlier_plan(folder, plan, found, in_new_folder(choices))
    done = 0 if found is None else step_of(found, None)
    if done == plan.steps and (outcome := earlier_end(folder, choices.options.until)) is not None:
        return Start(found, outcome)
    if resume and (folder / DATA).exists():
        check_data(folder, data)
    if found is None and plan.start is not None:
        require_start(plan.start, choices.options.root)
    _clear(folder, plan, found)
    if before is not None:
        hand_over(folder, before, plan, found)
    elif not (folder / PLAN).exists():
        plan_json.save(plan, folder / PLAN)
    write_text(folder / DATA, json.dumps(data, indent=1, sort_keys=True) + "\n")
    remember(folder, choices.options.root, choices.launch)
    write_text(folder / EVENTS, lines_until(folder / EVENTS, done))
    return Start(found)


def restarted(choices: Choices) -> bool:
    """Return whether a launcher began the run in the folder, and now restarts its processes."""
    return choices.launch is not None and launched_by(choices.folder, choices.launch)


def _clear(folder: Path, plan: Plan, found: Path | None) -> None:
    """Remove what a killed process left in a folder. Its next write may never come: the last checkpoint may exist."""
    tidy(folder / CHECKPOINTS, found, partial(retained, plan.keep, plan.turns))
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


def _described(when: str, data: Mapping[str, Any]) -> str:
    digest = data.get("sha256")
    named = data.get("path") or data.get("file") or data.get("data")
    return f"{when}: {named or 'unknown data'}, SHA-256 {str(digest)[:16]}..." if digest else f"{when}: not known"


def _changed(before: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what differs: the descriptions of the first corpus of a mixture that is another one, or those of all."""
    old, new = before.get("of"), data.get("of")
    if isinstance(old, dict) and isinstance(new, dict) and len(old) == len(new):
        for one, other in zip(old.values(), new.values(), strict=True):
            if isinstance(one, dict) and one.get("sha256") != other["sha256"]:
                return one, other
    return before, data


def check_data(folder: Path, data: Mapping[str, Any]) -> None:
    """Raise Refused `data-changed` if the run in a folder has read other data. `data`: the description of the data."""
    try:
        found = parse_json(read_text(folder / DATA), finite=False)
    except ValueError:
        found = None
    before = found if isinstance(found, dict) else {}
    if before.get("sha256") != data["sha256"]:
        message = "the data differs from what the run began with"
        then, now = _changed(before, data)
        notes: tuple[str, ...] = (_described("then", then), _described("now", now))
        if then.get("tokenizer_sha256") != now.get("tokenizer_sha256"):
            notes = ("the tokens were made by another tokenizer", *notes)
        help_ = f"restore the data that `{folder / DATA}` describes, or start a new run"
        raise Refused(Diagnostic("data-changed", message, place="data", notes=notes, help=help_))
