"""Starts a run from a checkpoint of another run, with a plan that makes the same steps up to it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, read_text, real, runs, sync_folder, write_text
from shapeflow.ir import plan_json
from shapeflow.ir.events import RunBranched
from shapeflow.ir.plan import Plan
from shapeflow.running.options import Origin
from shapeflow.running.run_log import CHECKPOINTS, DATA, EVENTS, PLAN, require_machine
from shapeflow_torch.checkpoint import adopt, digest_of, saved, step_of
from shapeflow_torch.folder import check_data, intact
from shapeflow_torch.lineage import (
    IN_NEW_FOLDER,
    check_history,
    comparable,
    kept_as,
    lines_until,
    measured_otherwise,
    plan_of,
    shared,
)


def branch(
    origin: Origin,
    plan: Plan,
    data: Mapping[str, Any],
    folder: Path,
    warn: Callable[[Diagnostic], None],
    command: str = IN_NEW_FOLDER,
) -> None:
    """Create a run folder in which `plan` goes on from a checkpoint of another run. `data`: the description of the data
    that it reads; `command`: what runs the plan in a new folder, for the advice.

    The folder appears completely or not at all; that of the other run is only read, and may belong to a running
    process. Raises Refused `no-run`, `other-machine`, `no-checkpoint`, `broken-checkpoint`, `foreign-checkpoint`,
    `other-history`, `data-changed`, `run-exists`, `disk-full`, `cannot-write`."""
    source = origin.folder
    if not (source / PLAN).is_file():
        raise Refused(_no_run(source))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        help_ = "choose another folder with `-o`, or continue the run in this one with `--resume`"
        raise Refused(Diagnostic("run-exists", f"`{folder}` already exists", place=str(folder), help=help_))
    if real(folder) == real(Path()):
        # A new folder would take its place, and the shell would stand in the old one, which is gone.
        message, help_ = f"`{folder}` is the current folder", "choose another folder with `-o`"
        notes = ("a run that begins with `--from` makes its folder",)
        raise Refused(Diagnostic("run-exists", message, place="--output", notes=notes, help=help_))
    require_machine(source, "torch")
    checkpoint = _chosen(origin, warn)
    before = plan_of(source, checkpoint)
    differs = check_history(source, before, plan, shared(checkpoint), origin.other_rates, command)
    check_data(source, data)
    found = [each for each in (differs, measured_otherwise(before, plan)) if each is not None]
    create(source, checkpoint, plan, folder, "; ".join(found) or None)


def _no_run(source: Path) -> Diagnostic:
    """The diagnostic for an origin that is not the folder of a run. It may be that of a checkpoint, or end in what is
    not a step."""
    message, help_ = f"`{source}` contains no run to start from", "write the folder of a run: `--from FOLDER[@STEP]`"
    whole = Path(str(source).rpartition("@")[0])
    run = source.parent.parent if source.parent.name == CHECKPOINTS else whole
    if run.name and (run / PLAN).is_file() and (steps := saved(run / CHECKPOINTS)):
        named = next((step for step, path in steps.items() if path.name == source.name), max(steps))
        help_ = f"write the run and the step of one of its checkpoints: `--from {run}@{named}`"
    return Diagnostic("no-run", message, place=str(source), help=help_)


def _chosen(origin: Origin, warn: Callable[[Diagnostic], None]) -> Path:
    """Return the checkpoint to start from. Raises Refused `no-checkpoint`, `broken-checkpoint`."""
    found = saved(origin.folder / CHECKPOINTS)
    if origin.step is None:
        newest = intact(origin.folder / CHECKPOINTS, warn)
        if newest is not None:
            return newest
    elif origin.step in found:
        return found[origin.step]
    at = "" if origin.step is None else f" at step {origin.step:,}"
    there = f"it has checkpoints at these steps: {', '.join(f'{step:,}' for step in found)}"
    help_ = f"write one of these steps: `--from {origin.folder}@{max(found)}`" if found else None
    message, notes = f"the run in `{origin.folder}` has no checkpoint{at}", (there,) if found else ()
    raise Refused(Diagnostic("no-checkpoint", message, place=str(origin.folder), notes=notes, help=help_))


def create(source: Path, checkpoint: Path, plan: Plan, folder: Path, differs: str | None = None) -> None:
    """Create a folder with a checkpoint of the run in `source` and its log up to there. `differs`: how the plan of
    these steps differs from `plan`. Raises Refused."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        fill(source, checkpoint, plan, temporary, differs)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fill(source: Path, checkpoint: Path, plan: Plan, folder: Path, differs: str | None = None) -> None:
    """Write the files of a run that goes on from a checkpoint of the run in `source`. Raises Refused; OSError."""
    before, step = plan_of(source, checkpoint), step_of(checkpoint, None)
    shutil.rmtree(folder, ignore_errors=True)
    adopt(checkpoint, folder / CHECKPOINTS / checkpoint.name, plan.digest, comparable(before, plan))
    write_text(folder / DATA, read_text(source / DATA))
    branched = RunBranched(step, before.digest, str(source), digest_of(checkpoint), differs)
    write_text(folder / EVENTS, lines_until(source / EVENTS, step, branched))
    if before.digest != plan.digest:
        plan_json.save(before, kept_as(folder, before.digest))
    plan_json.save(plan, folder / PLAN)


def _clear(folder: Path) -> None:
    """Remove what processes left that were killed while they created this folder. Raises OSError."""
    left = re.compile(rf"\.{re.escape(folder.name)}\.(\d+)")
    for path in folder.parent.iterdir():
        found = left.fullmatch(path.name)
        if found is not None and (int(found[1]) == os.getpid() or not runs(int(found[1]))):
            shutil.rmtree(path)
