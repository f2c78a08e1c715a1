"""Continues a run with another plan: in another folder from its end, or in its own folder with more steps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, read_text, sync_folder, write_text
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.running.run_log import CHECKPOINTS, DATA, EVENTS, PLAN
from shapeflow_torch.checkpoint import adopt, newest, step_of
from shapeflow_torch.folder import intact, lines_until

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
    try:
        _copy(source, checkpoint, plan, temporary)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def extend(folder: Path, plan: Plan, aside: Path) -> None:
    """Let the run in a folder go on as `plan`, which makes the same steps and more, from its newest checkpoint.

    The caller must ensure that the plans begin alike. A run without a checkpoint starts again. The folder is replaced
    completely; `aside`, next to it, is where the old one lies until then. Raises Refused `broken-checkpoint`,
    `disk-full`, `cannot-write`."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    # The steps after a broken checkpoint are made again.
    checkpoint = intact(folder / CHECKPOINTS, lambda broken: None)
    try:
        if checkpoint is None:
            plan_json.save(plan, temporary / PLAN)
        else:
            _copy(folder, checkpoint, plan, temporary)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy(source: Path, checkpoint: Path, plan: Plan, folder: Path) -> None:
    """Create a folder in which a plan continues from a checkpoint of a run. Raises Refused; OSError."""
    digest = plan_json.load(source / PLAN).digest
    shutil.rmtree(folder, ignore_errors=True)
    adopt(checkpoint, folder / CHECKPOINTS / checkpoint.name, digest, plan.digest)
    write_text(folder / DATA, read_text(source / DATA))
    write_text(folder / EVENTS, lines_until(source / EVENTS, step_of(checkpoint, digest)))
    plan_json.save(plan, folder / PLAN)
