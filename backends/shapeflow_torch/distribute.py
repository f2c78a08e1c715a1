"""Distributed training: launches processes, or joins those of a launcher such as torchrun, which sets RANK and
WORLD_SIZE."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.running.follow import Listen, Outcome
from shapeflow_torch.devices import Place, gpus, place
from shapeflow_torch.stop import Stop
from shapeflow_torch.team import Team
from shapeflow_torch.train import Choices, Warn, train

_POLL = 0.1
"""Seconds between two checks of the workers."""


@attrs.frozen
class Message:
    """A message from the leader to the launching process. `what` is `event`, `warning`, `outcome` or `refused`."""

    what: str
    value: Any


def joins() -> bool:
    """Return whether a launcher started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextlib.contextmanager
def joined(device: str) -> Iterator[Team]:
    """Join the process group given by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. `device`: auto, cpu or cuda.

    Uses gloo on CPUs and nccl on GPUs. Raises Refused `bad-launch`. If a run is refused inside the context, only
    the leader raises Refused; the other processes exit with status 1 and print nothing."""
    rank, world = _number("RANK"), _number("WORLD_SIZE", 1)
    local, local_world = _number("LOCAL_RANK", 0, rank), _number("LOCAL_WORLD_SIZE", 1, world)
    if rank >= world:
        raise _bad_launch(f"RANK is {rank}, and WORLD_SIZE {world}")
    if not os.environ.get("MASTER_ADDR"):
        raise _bad_launch("MASTER_ADDR is not set")
    _number("MASTER_PORT")
    try:
        where = place(device, local_world if device == "cuda" or (device == "auto" and gpus()) else 1)
        own = where.device(local)
        if own.type == "cuda":
            torch.cuda.set_device(own)
        try:
            dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
        except dist.DistError as error:
            raise _bad_launch(_first_line(error)) from error
        yield Team(rank, world, own)
        # Only on a clean exit. If this process was refused, the others wait for it and this call would wait for them.
        dist.destroy_process_group()
    except Refused:
        if rank:
            raise SystemExit(1) from None
        raise


@contextlib.contextmanager
def losses_named(choices: Choices) -> Iterator[None]:
    """Raise Refused `worker-lost` instead of torch's error for a process that can no longer be reached."""
    try:
        yield
    except RuntimeError as error:
        # gloo raises plain errors, which name its own source file.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise Refused(_worker_lost("this process ended, too", [_first_line(error)], choices)) from error


def _first_line(error: Exception) -> str:
    """Return what torch says is wrong, without the place in its source and its advice."""
    text = re.sub(r"^\[[^]]*\] ", "", str(error).partition("\n")[0])
    return text.partition(". ")[0] or type(error).__name__


def _number(name: str, least: int = 0, instead: int | None = None) -> int:
    """Return an integer environment variable. `least`: smallest valid value; `instead`: default if the variable is not
    set. Raises Refused `bad-launch`."""
    text = os.environ.get(name)
    if text is None and instead is not None:
        return instead
    if text is None or not text.isdecimal() or int(text) < least:
        raise _bad_launch(f"{name} is not set" if text is None else f"{name} is `{text}`")
    return int(text)


def _bad_launch(why: str) -> Refused:
    message = "RANK and WORLD_SIZE are set, but the processes of the run cannot find each other"
    help_ = "launch with `torchrun`, or unset RANK and WORLD_SIZE and use `--gpus` or `--processes`"
    return Refused(Diagnostic("bad-launch", message, place="environment", notes=(why,), help=help_))


def launch(plan: Plan, choices: Choices, where: Place, listen: Listen, warn: Warn) -> Outcome:
    """Start the processes of a run on this machine and follow their leader.

    Raises the leader's Refused, or Refused `worker-lost` if a process ended unexpectedly.
    """
    # Without this, workers read stale addresses from the launcher's store (pytorch issue 135712).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    stop = context.Event()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=where.processes,
        run_id=plan.digest[:16],
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=_POLL,
        start_method="spawn",
    )
    lost: list[ChildFailedError] = []

    def launched() -> None:
        try:
            elastic_launch(config, work)(plan_json.dumps(plan), choices, where, sender, stop)
        except ChildFailedError as error:
            lost.append(error)

    # Use a separate thread: in the main thread, torch's launcher handles signals by killing the workers.
    thread = threading.Thread(target=launched, daemon=True)
    with Stop(notify=stop.set):
        thread.start()
        outcome = _listened(receiver, thread, listen, warn)
    thread.join()
    if outcome is None:
        raise Refused(_lost(lost, choices))
    return outcome


def _listened(receiver: Connection, thread: threading.Thread, listen: Listen, warn: Warn) -> Outcome | None:
    outcome: Outcome | None = None
    while True:
        alive = thread.is_alive()
        while receiver.poll(_POLL if alive else 0):
            message: Message = receiver.recv()
            if message.what == "event":
                listen(message.value)
            elif message.what == "warning":
                warn(message.value)
            elif message.what == "refused":
                thread.join()
                raise Refused(*message.value)
            else:
                outcome = message.value
        if not alive:
            return outcome


def work(text: str, choices: Choices, where: Place, sender: Connection, asked: Any) -> None:
    """Run one process of a launched run. `text`: the plan as JSON; `asked`: an event that requests a stop."""
    plan = plan_json.loads(text, "plan")
    with Stop(also=asked.is_set) as stop, joined(where.kind) as team:

        def send(what: str, value: Any) -> None:
            if team.leads:
                sender.send(Message(what, value))

        try:
            outcome = train(
                plan, choices, team, stop, lambda event: send("event", event), lambda warning: send("warning", warning)
            )
            send("outcome", outcome)
        except Refused as refused:
            send("refused", refused.diagnostics)
            # The others may wait for this process. The launcher ends them once this one has exited.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


def _lost(errors: list[ChildFailedError], choices: Choices) -> Diagnostic:
    notes = []
    for error in errors:
        rank, failure = error.get_first_failure()
        how = failure.signal_name() if failure.exitcode < 0 else f"exit status {failure.exitcode}"
        notes.append(f"process {rank} ended with {how}")
        # For a Python error, torch reports the traceback. For a signal, it reports only that there was one.
        message = failure.message.get("message", "") if isinstance(failure.message, dict) else failure.message
        notes += str(message).strip().splitlines()[-1:] if failure.exitcode >= 0 else []
    return _worker_lost("the others were ended", notes, choices)


def _worker_lost(effect: str, notes: Sequence[str], choices: Choices) -> Diagnostic:
    return Diagnostic(
        "worker-lost",
        f"a process of the run was lost, so {effect}",
        place=str(choices.folder),
        notes=tuple(notes),
        help="resume from the last checkpoint with `--resume`; the system kills a process that runs out of memory",
    )
