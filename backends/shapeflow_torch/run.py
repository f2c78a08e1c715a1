"""Runs a plan in this process, in several processes launched here, or as one process of a launcher."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.files import named
from shapeflow.base.printing import say
from shapeflow.ir.plan import Plan
from shapeflow.ir.workload import check_shares
from shapeflow.running import launchers
from shapeflow.running.follow import Listen, Outcome
from shapeflow.running.options import Options
from shapeflow.running.stop import EXIT_STOPPED, Stop
from shapeflow_torch import distribute
from shapeflow_torch.choices import Choices
from shapeflow_torch.devices import place
from shapeflow_torch.team import Team
from shapeflow_torch.trace import check_steps
from shapeflow_torch.train import Warn, train

__all__ = ["Outcome", "run"]


def print_warning(diagnostic: Diagnostic) -> None:
    """Print a warning as one line to standard error."""
    notes = "".join(f" ({note})" for note in diagnostic.notes)
    say(f"warning: {diagnostic.code}: {diagnostic.message}{notes}", err=True)


def run(
    plan: Plan,
    folder: Path,
    options: Options,
    listen: Listen = lambda event: None,
    warn: Warn = print_warning,
) -> Outcome | None:
    """Train a plan in a folder (see `folder.py`). SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGALRM end the run
    after a checkpoint; a second SIGINT ends it at once, by KeyboardInterrupt.

    If RANK and WORLD_SIZE are set, for example by torchrun, or `srun` started several tasks, this process joins the
    others and does not launch any. In that case only the leader calls `listen`, and all other processes return None, or
    exit with 75 after a signal. A restart by torchrun goes on from the newest checkpoint.

    Raises Refused: `no-such-device`, `no-such-gpus`, `no-processes`, `contradicting-devices`, `bad-launch`, `no-model`,
    `no-such-model`, `no-such-steps`, `no-such-data`, `no-such-objective`, `no-such-optimizer`, `no-such-metric`,
    `no-such-view`, `broken-component`, `wrong-member`, `broken-plan`, `undeclared-state`, `no-prefix-mask`,
    `data-missing`, `data-changed`, `data-mismatch`, `broken-image`, `broken-tokens`, `other-tokens`,
    `context-too-long`, `no-document-ends`, `batch-not-divisible`, `run-exists`, `no-run`, `run-busy`, `run-removed`,
    `other-history`, `other-machine`, `no-checkpoint`, `foreign-checkpoint`, `broken-checkpoint`, `loss-not-finite`,
    `worker-lost`, `disk-full`, `cannot-write`, `not-arrived`, `out-of-memory`, `memory-unknown`, `does-not-fit`,
    `wrong-parameters`, `teacher-missing`, `teacher-broken`, `teacher-changed`, `start-missing`, `start-broken`,
    `start-changed`, `start-mismatch`.
    """
    check_steps(plan, options.profile)
    own, choices = launchers.placed(), Choices(named(folder), options, launchers.launch_of())
    if own is not None:
        distribute.require_one_launcher(own, options.processes, options.gpus)
        with (
            Stop() as stop,
            distribute.losses_named(partial(distribute.lost_peer, choices)),
            distribute.joined(options.device, own) as team,
        ):
            outcome = train(plan, choices, team, stop, listen, warn)
        if outcome.interrupted and not team.leads:
            raise SystemExit(EXIT_STOPPED)
        return outcome if team.leads else None
    where = place(options.device, options.processes, options.gpus)
    if where.processes > 1:
        check_shares(plan, where.processes)
        return distribute.launch(plan, choices, where, listen, warn)
    with Stop() as stop:
        return train(plan, choices, Team(device=where.device(0)), stop, listen, warn)
