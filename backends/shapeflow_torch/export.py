"""Exports a run's weights to one self-describing file (see `shapeflow/ir/weights.py`)."""

from __future__ import annotations

import shlex
from pathlib import Path

import attrs
import torch
from safetensors.torch import save as write_tensors
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_bytes
from shapeflow.ir.edits import View
from shapeflow.ir.plan import Plan
from shapeflow.ir.replay import ledger_at
from shapeflow.ir.weights import Weights, metadata
from shapeflow.running.run_folder import divergence_of, resume_command
from shapeflow.running.run_log import CHECKPOINTS, machine_of
from shapeflow_torch import checkpoint
from shapeflow_torch.objectives import reserved_of

OF_A_RUN = ("batch", "loss")
"""Slots that affect training only. They are not exported."""


@attrs.frozen
class Exported:
    """The result of an export: the step of the weights, and the number of tensors."""

    step: int
    tensors: int


def export(plan: Plan, folder: Path, path: Path, *, raw: bool = False, unfinished: bool = False) -> Exported:
    """Write the averaged weights of a run's newest checkpoint to one file. `raw`, `unfinished`: see `gathered`.

    Raises Refused `disk-full`, `cannot-write`, and what `gathered` raises."""
    weights, tensors = gathered(plan, folder, raw=raw, unfinished=unfinished)
    write_bytes(path, write_tensors(tensors, metadata(weights)))
    return Exported(weights.step, len(tensors))


def gathered(
    plan: Plan, folder: Path, *, raw: bool = False, unfinished: bool = False
) -> tuple[Weights, dict[str, Tensor]]:
    """The averaged weights of a run's newest checkpoint, float32 on the CPU, and what they are. `raw`: the unaveraged
    weights instead; `unfinished`: allow a run that is not finished.

    Raises Refused `no-weights`, `run-unfinished`, `foreign-checkpoint`, `broken-checkpoint`."""
    if (machine := machine_of(folder)) != "torch":
        message = f"the run in `{folder}` has no weights: the machine `{machine}` computes losses without a model"
        help_ = "train the plan with `shapeflow run ... --machine torch` in another folder, and export that run"
        raise Refused(Diagnostic("no-weights", message, place=str(folder), help=help_))
    found = checkpoint.newest(folder / CHECKPOINTS)
    step = 0 if found is None else checkpoint.step_of(found, plan.digest)
    if found is None or plan.model is None or (step < plan.steps and not unfinished):
        raise Refused(_unfinished(folder, step, plan.steps))
    ledger = ledger_at(plan, step, None if found is None else checkpoint.stage_of(found, plan.digest))
    state = checkpoint.load(found, plan.digest, ledger.tensors(), None, torch.device("cpu"), torch.float32)
    stage = plan.stages[plan.stage_at(step)]
    for edit in stage.reading:
        ledger.apply(edit)
    weights = Weights(
        model=plan.model.name,
        settings=plan.model.settings,
        shape=stage.shape,
        sizes=stage.sizes,
        slots={name: value for name, value in ledger.slots.items() if name not in OF_A_RUN},
        reading=tuple(edit for edit in stage.reading if isinstance(edit, View)),
        parameters=plan.parameters,
        plan=plan.digest,
        step=step,
        averaged=not raw,
        reserved=max(map(reserved_of, plan.objectives.values())),
    )
    tensors = state.kept.values if raw else state.kept.averages
    return weights, {name: one.contiguous() for name, one in tensors.items()}


def _unfinished(folder: Path, step: int, steps: int) -> Diagnostic:
    message = f"the run in `{folder}` is not finished: its last checkpoint is at step {step} of {steps}"
    diverged = divergence_of(folder)
    # Continuing would make the same steps again, and diverge again.
    help_ = f"continue it with `{resume_command(folder)}`" if diverged is None else _branch(folder, step)
    help_ += ", or export it as it is with `--unfinished`" if step else ""
    notes = () if diverged is None else (f"it has diverged: {diverged}",)
    return Diagnostic("run-unfinished", message, place=str(folder), notes=notes, help=help_)


def _branch(folder: Path, step: int) -> str:
    source = shlex.quote(f"{folder}@{step}")
    start = (
        f"`shapeflow run PLAN --from {source} --other-rates -o FOLDER`" if step else "`shapeflow run PLAN -o FOLDER`"
    )
    return f"compile a plan with a lower learning rate or a longer warm-up, and run it with {start}"
