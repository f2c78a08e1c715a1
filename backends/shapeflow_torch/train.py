"""Trains a plan in one process of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.memory import Need
from shapeflow.ir.plan import Plan
from shapeflow.ir.workload import check_shares
from shapeflow.running.follow import Course, Listen, Outcome, follow
from shapeflow.running.lock import Lock
from shapeflow.running.run_log import CHECKPOINTS, PLAN
from shapeflow_torch.advice import advised, in_new_folder
from shapeflow_torch.branch import branch
from shapeflow_torch.choices import Choices
from shapeflow_torch.compilation import wants_compile
from shapeflow_torch.data import Data, open_data
from shapeflow_torch.data.mixture import Corpora
from shapeflow_torch.folder import Start, prepare, restarted
from shapeflow_torch.hardware import hardware_of
from shapeflow_torch.losses import Saving
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.measure import metrics
from shapeflow_torch.micro_batch import chosen, tried
from shapeflow_torch.out_of_memory import memory_guarded
from shapeflow_torch.team import Team
from shapeflow_torch.trace import Trace

SMALL_STEP = 5e9
"""Steps with fewer FLOPs run on one thread: one processor core does them in well under 0.1 s."""

Warn = Callable[[Diagnostic], None]


def train(
    plan: Plan, choices: Choices, team: Team, stop: Callable[[], str | None], listen: Listen, warn: Warn
) -> Outcome:
    """Train a plan in this process. Only the leader writes files and calls `listen` and `warn`. Raises what `run.run`
    raises."""
    with advised(choices, plan.optimizer, team.leads):
        return _train(plan, choices, team, stop, listen, warn)


def _train(
    plan: Plan, choices: Choices, team: Team, stop: Callable[[], str | None], listen: Listen, warn: Warn
) -> Outcome:
    compiled = wants_compile(choices.options.compile, team.device)
    if team.device.type == "cpu":
        be_deterministic(compiled)
        choose_threads(plan)
    check_shares(plan, team.world)
    data = open_data(plan, choices.options.root, team.device)
    _check_metric(data, plan)
    if choices.options.until is not None:
        _check_goal(choices.options.until[0], data, plan)
    needs = choices.options.needs.get(team.device.type, {})
    saving = _saving(plan, data, choices, needs, team, compiled)
    trace = Trace(choices.options.profile if team.leads else None, choices.folder, team.device, warn)
    root = choices.options.root
    machine = TorchMachine(plan, data, team, compiled=compiled, stop=stop, root=root, saving=saving, around=trace.step)
    locks: list[Lock] = []

    def ready() -> Start:
        about, begun = data.describe(), choices
        again = (choices.options.resume or restarted(choices)) and (choices.folder / PLAN).exists()
        if choices.options.origin is not None and not again:
            branch(choices.options.origin, plan, about, choices.folder, warn, in_new_folder(choices))
            begun = attrs.evolve(choices, options=attrs.evolve(choices.options, resume=True))
        locks.append(Lock(choices.folder))
        return prepare(begun, plan, about, warn)

    try:
        start = team.share(ready)
        if team.leads and isinstance(data, Corpora) and (repeated := data.repeated(plan)) is not None:
            warn(repeated)
        if start.outcome is not None:
            trace.close()
            return start.outcome
        checkpoints = choices.folder / CHECKPOINTS
        ends = choices.options.until, choices.options.pause
        hardware = hardware_of(team, choices.options.peak_flops)
        asked = Course(checkpoints, start.checkpoint, *ends, _written(saving), hardware)
        with memory_guarded(machine, checkpoints, saving, needs):
            outcome = follow(plan, machine, choices.folder if team.leads else None, asked, listen)
        trace.close()
        return outcome if trace.path is None else attrs.evolve(outcome, trace=str(trace.path))
    finally:
        trace.abandon()
        for lock in locks:
            lock.release()


def _saving(
    plan: Plan, data: Data, choices: Choices, needs: Mapping[Shape, Need], team: Team, compiled: bool
) -> Saving:
    """Return how steps save memory. On a GPU, what `auto` estimates is tried. Raises Refused `memory-unknown`."""
    if choices.options.micro_batch != "auto":
        return Saving(choices.options.micro_batch, choices.options.checkpoint_activations)
    limits = chosen(plan, needs, team, choices.options.checkpoint_activations)
    if team.device.type == "cuda":
        alone = TorchMachine(plan, data, Team(device=team.device), compiled=compiled, root=choices.options.root)
        limits = tried(alone, limits, choices.options.checkpoint_activations, team)
        del alone
        torch.cuda.empty_cache()
    return Saving(limits, choices.options.checkpoint_activations)


def _written(saving: Saving) -> dict[str, int] | None:
    """Return the choices of `auto` as the log names them: shape -> samples."""
    if not isinstance(saving.micro_batch, Mapping):
        return None
    return {str(shape): count for shape, count in saving.micro_batch.items()}


def be_deterministic(compiled: bool) -> None:
    """Make torch raise an error on nondeterministic operations.

    Only compiled code needs `use_deterministic_algorithms`, which imports the compiler and takes 0.5 s longer."""
    if compiled:
        torch.use_deterministic_algorithms(True)
    else:
        torch.set_deterministic_debug_mode("error")


def choose_threads(plan: Plan) -> None:
    """Use one thread if steps are small, unless OMP_NUM_THREADS is set.

    With small steps, several threads wait for each other longer than they compute, especially on a busy machine."""
    largest = max(stage.cost for stage in plan.stages)
    if "OMP_NUM_THREADS" not in os.environ and largest < SMALL_STEP:
        torch.set_num_threads(1)


def _check_metric(data: Data, plan: Plan) -> None:
    """Raise Refused (`no-such-metric`) for a plan whose errors are in a unit that runs do not measure."""
    known = metrics(data, plan.metric)
    if plan.metric not in known:
        message = (
            f"the plan predicts `{plan.metric}`, and a run measures {' and '.join(f'`{name}`' for name in known[:2])}"
        )
        help_ = "fit the laws to losses in nats, or carry the plan out with a trainer of your own"
        raise Refused(Diagnostic("no-such-metric", message, place="metric", help=help_))


def _check_goal(metric: str, data: Data, plan: Plan) -> None:
    known = metrics(data, plan.metric)
    if metric not in known:
        message = f"the run does not measure `{metric}`"
        help_ = f"use one of these: {', '.join(known)}"
        raise Refused(Diagnostic("no-such-metric", message, place="--until", help=help_))
