"""What is left and what is said when a run needs more memory than there is."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.base.units import size
from shapeflow.ir.memory import Choices, Need
from shapeflow.running.run_folder import resume_command
from shapeflow_torch.available import total
from shapeflow_torch.checkpoint import newest
from shapeflow_torch.losses import Saving
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team

_SIGNS = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory")
"""Texts in the RuntimeErrors by which torch reports that an allocation failed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is not enough memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


@contextlib.contextmanager
def memory_guarded(machine: TorchMachine, folder: Path, saving: Saving, needs: Mapping[Shape, Need]) -> Iterator[None]:
    """Raise Refused `out-of-memory` if an allocation fails in this context, after a checkpoint of the last step that
    was done. `folder`: that of the checkpoints. Raises Refused `disk-full`, `cannot-write`.

    A step that fails before its update leaves the weights as they were. After a failure in an update, a switch or an
    evaluation nothing is written: the last regular checkpoint stands. If another process fails, this one writes the
    same checkpoint and raises the error of the connection."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Refused) or not (is_out_of_memory(error) or machine.team.world > 1):
            raise
        # The frames of the error hold the activations of the step.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        if machine.team.device.type == "cuda":
            torch.cuda.empty_cache()
        left = machine.rescue(folder)
        if not is_out_of_memory(error):
            raise
        kept = left.name if left is not None else _kept(folder)
        again = resume_command(folder.parent)
        raise Refused(_refusal(error, machine, kept, again, saving, needs)) from None


def _kept(folder: Path) -> str | None:
    """The name of the newest checkpoint that a run goes on from. None if it has none."""
    found = newest(folder)
    return None if found is None else found.name


def _refusal(
    error: BaseException,
    machine: TorchMachine,
    kept: str | None,
    again: str,
    saving: Saving,
    needs: Mapping[Shape, Need],
) -> Diagnostic:
    index, shape = machine.where
    need, notes = needs.get(shape), []
    choices = choices_of(machine.team, saving.largest(shape), saving.recompute)
    if need is not None:
        found = need.memory(choices)
        many = f"with {found.micro_batch} sample{'s' * (found.micro_batch != 1)} at once"
        notes.append(f"estimated: {size(found.peak)} on each process, {many}")
    if (there := total(machine.team.device)) is not None:
        notes.append(f"there: {size(there)} in all")
    notes.append(f"torch says: {str(error).partition(chr(10))[0][:200]}" if str(error) else "Python reports it")
    notes.append(f"the run goes on from {kept}" if kept is not None else "there is no checkpoint yet")
    message = (
        f"there is not enough memory for stage {index + 1}, {shape.written(machine.plan.units) or 'the only shape'}"
    )
    if machine.team.world > 1:
        again += f" --{'gpus' if machine.team.device.type == 'cuda' else 'processes'} {machine.team.world}"
    if machine.entering is None:
        help_ = _help(need, choices, again)
    else:
        notes.append("memory ran out in the switch to this stage, which smaller micro-batches do not change")
        help_ = f"use a smaller model or a machine with more memory; the run goes on with `{again}`"
    return Diagnostic("out-of-memory", message, place="run", notes=tuple(notes), help=help_)


def _help(need: Need | None, choices: Choices, again: str) -> str:
    """Return what to write: a smaller micro-batch, then blocks computed again. `again`: the command that resumes the
    run, or starts it again if it has no checkpoint."""
    count = None if need is None else need.memory(choices).micro_batch
    if count is None:
        return f"go on with `{again} --checkpoint-activations`, or with `--micro-batch N` of N samples"
    elif count > 1:
        smaller = f"go on with `{again} --micro-batch {count // 2}`"
        return smaller if choices.recompute else f"{smaller}, or with `--checkpoint-activations`"
    if not choices.recompute:
        return f"go on with `{again} --checkpoint-activations`"
    return "use a smaller model, or a machine with more memory"


def choices_of(team: Team, micro_batch: int | None, recompute: bool) -> Choices:
    """Return the choices that an estimate is for."""
    return Choices("cuda" if team.device.type == "cuda" else "cpu", team.world, micro_batch, recompute)
