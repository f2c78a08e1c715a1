"""Runs a plan in this process, in several processes launched here, or as one process of a launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.printing import say
from shapeflow.ir.plan import Plan
from shapeflow.running.follow import Goal, Listen, Outcome
from shapeflow_torch import distribute
from shapeflow_torch.compilation import Compile
from shapeflow_torch.devices import place
from shapeflow_torch.stop import Stop
from shapeflow_torch.team import Team
from shapeflow_torch.train import Choices, Needs, Warn, train
from shapeflow_torch.workload import check_shares

__all__ = ["Outcome", "run"]


def print_warning(diagnostic: Diagnostic) -> None:
    """Print a warning as one line to standard error."""
    notes = "".join(f" ({note})" for note in diagnostic.notes)
    say(f"warning: {diagnostic.code}: {diagnostic.message}{notes}", err=True)


def run(
    plan: Plan,
    folder: Path,
    *,
    device: str = "auto",
    processes: int | None = None,
    gpus: int | None = None,
    resume: bool = False,
    root: Path | None = None,
    compile: Compile = "auto",
    until: Goal | None = None,
    pause: int | None = None,
    micro_batch: int | Literal["auto"] | None = None,
    checkpoint_activations: bool = False,
    needs: Needs | None = None,
    listen: Listen = lambda event: None,
    warn: Warn = print_warning,
) -> Outcome | None:
    """Train a plan in a folder (see `folder.py`). SIGINT or SIGTERM ends the run after a checkpoint.

    `device`: auto, cpu or cuda; `processes`: number of processes that share every step; `gpus`: number of GPUs, with
    one process each; `root`: base directory of relative data paths (default: the working directory); `until`: end
    early, after a checkpoint, once this held-out metric is at most this value; `pause`: end early, after a checkpoint,
    at the end of this step; `micro_batch`: largest number of samples (images, windows of text) whose forward and
    backward pass a process makes at once, or `auto`, the most that fits; `checkpoint_activations`: keep only the inputs
    of blocks, and compute each block again in the backward pass. A resumed run may choose others: neither changes what
    a step computes, except for rounding. `needs`: the estimates of memory for each kind of device
    (`shapeflow.running.memory.needs`), for `auto` and for what is said if there is too little.

    If RANK and WORLD_SIZE are set, for example by torchrun, this process joins the others and does not launch any. In
    that case only the leader calls `listen`, and all other processes return None.

    Raises Refused: `no-such-device`, `no-such-gpus`, `no-processes`, `contradicting-devices`, `bad-launch`, `no-model`,
    `no-such-model`, `no-such-data`, `no-such-objective`, `no-such-optimizer`, `no-such-metric`, `no-such-view`,
    `broken-component`, `wrong-member`, `broken-plan`, `undeclared-state`, `no-prefix-mask`, `data-missing`,
    `data-changed`, `data-mismatch`, `broken-image`, `broken-tokens`, `other-tokens`, `context-too-long`,
    `no-document-ends`, `batch-not-divisible`, `run-exists`, `no-run`, `run-busy`, `run-removed`, `run-finished`,
    `other-plan`, `foreign-checkpoint`, `broken-checkpoint`, `loss-not-finite`, `worker-lost`, `disk-full`,
    `cannot-write`, `not-arrived`, `out-of-memory`, `memory-unknown`, `wrong-parameters`, `teacher-missing`,
    `teacher-broken`, `teacher-changed`.
    """
    saving = (micro_batch, checkpoint_activations, needs or {})
    choices = Choices(folder, root or Path.cwd(), resume, compile, until, pause, *saving)
    if distribute.joins():
        with distribute.losses_named(choices), distribute.joined(device) as team, Stop() as stop:
            outcome = train(plan, choices, team, stop, listen, warn)
            return outcome if team.leads else None
    where = place(device, processes, gpus)
    if where.processes > 1:
        check_shares(plan, where.processes)
        return distribute.launch(plan, choices, where, listen, warn)
    with Stop() as stop:
        return train(plan, choices, Team(device=where.device(0)), stop, listen, warn)
