"""Continues a run with another plan: in another folder from its end, or in its own folder with more steps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, sync_folder
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.running.run_log import CHECKPOINTS, PLAN
from shapeflow_torch.branch import create, fill
from shapeflow_torch.checkpoint import newest, step_of
from shapeflow_torch.folder import intact
from shapeflow_torch.lineage import check_history


def fork(source: Path, plan: Plan, folder: Path) -> None:
    """Create a run folder with the last checkpoint and the log of a finished run. `plan` must make all steps of that
    run.

    `shapeflow run PLAN -o FOLDER --resume` then continues from there. The folder is created completely or not at all.

    Raises Refused `other-history` if the plans differ before the fork, `no-checkpoint`, `broken-checkpoint`,
    `foreign-checkpoint`, `disk-full`, `cannot-write`.
    """
    trunk = plan_json.load(source / PLAN)
    check_history(source, trunk, plan, trunk.steps)
    checkpoint = newest(source / CHECKPOINTS)
    if checkpoint is None or step_of(checkpoint, trunk.digest) != trunk.steps:
        message, help_ = (
            f"`{source}` has no intact checkpoint at its last step",
            "remove this folder and train the run again",
        )
        raise Refused(Diagnostic("no-checkpoint", message, place=str(source), help=help_))
    create(source, checkpoint, plan, folder)


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
            fill(folder, checkpoint, plan, temporary)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
