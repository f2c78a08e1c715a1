"""Forks a run: another plan continues from the end of a finished run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, read_text, sync_folder, write_text
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow_torch.checkpoint import adopt, newest, step_of
from shapeflow_torch.folder import CHECKPOINTS, DATA, EVENTS, PLAN, lines_until

_RATES = ("optimizer", "schedule", "cooldown")
_SAME = ("convention", "metric", "model", "data", "objectives", *_RATES, "parameters", "slots", "seed")


def fork(source: Path, plan: Plan, folder: Path) -> None:
    """Create a run folder with the last checkpoint and the log of a finished run. `plan` must begin with all stages of
    that run.

    `shapeflow run PLAN -o FOLDER --resume` then continues from there. The folder is created completely or not at all.

    Raises Refused `foreign-checkpoint` if the plans differ before the fork, `no-checkpoint`, `broken-checkpoint`,
    `disk-full`, `cannot-write`.
    """
    trunk = plan_json.load(source / PLAN)
    parts = [name for name in _SAME if getattr(trunk, name) != getattr(plan, name)]
    if trunk.schedule is not None and trunk.steps != plan.steps:
        # A schedule decays over the whole run, so a longer run has different rates from the end of the warm-up on.
        parts.append("schedule")
    if parts or trunk.stages != plan.stages[: len(trunk.stages)]:
        message = f"the plan does not begin like the run in `{source}`"
        notes = (f"they differ in {', '.join(parts) or 'their stages'}",)
        raise Refused(Diagnostic("foreign-checkpoint", message, place=str(folder), notes=notes))
    checkpoint = newest(source / CHECKPOINTS)
    if checkpoint is None or step_of(checkpoint, trunk.digest) != trunk.steps:
        message, help_ = (
            f"`{source}` has no intact checkpoint at its last step",
            "remove this folder and train the run again",
        )
        raise Refused(Diagnostic("no-checkpoint", message, place=str(source), help=help_))
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        adopt(checkpoint, temporary / CHECKPOINTS / checkpoint.name, trunk.digest, plan.digest)
        write_text(temporary / DATA, read_text(source / DATA))
        write_text(temporary / EVENTS, lines_until(source / EVENTS, trunk.steps))
        plan_json.save(plan, temporary / PLAN)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
