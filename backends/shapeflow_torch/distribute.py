"""Distributed training: launches processes, or joins those of a launcher such as torchrun or `srun`."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # stubs leave them out
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan
from shapeflow.running import launchers
from shapeflow.running.follow import Listen, Outcome
from shapeflow.running.run_folder import resume_command
from shapeflow.running.stop import Stop, ended_at_once, held_back, let_through
from shapeflow_torch.choices import Choices
from shapeflow_torch.devices import Place, gpus, place
from shapeflow_torch.team import Team
from shapeflow_torch.train import Warn, train

_POLL = 0.1
"""Seconds between two checks of the workers."""


@attrs.frozen
class Message:
    """A message from the leader to the launching process. `what` is `event`, `warning`, `outcome` or `refused`."""

    what: str
    value: Any


@contextlib.contextmanager
def joined(device: str, place_: launchers.Place) -> Iterator[Team]:
    """Join the process group of a launcher. `device`: auto, cpu or cuda.

    Uses gloo on CPUs and nccl on GPUs. Raises Refused `bad-launch`. If a run is refused inside the context, only
    the leader raises Refused; the other processes exit with status 1 and print nothing."""
    try:
        own = _own_device(device, place_)
        if own.type == "cuda":
            torch.cuda.set_device(own)
        backend = "nccl" if own.type == "cuda" else "gloo"
        try:
            # Waiting for the others cannot hear Python's handlers, and nothing is lost yet.
            with ended_at_once():
                _meet(backend, place_)
        except dist.DistError as error:
            raise launchers.bad_launch(_first_line(error), place_.launcher) from error
        yield Team(place_.rank, place_.world, own)
        # Only on a clean exit. If this process was refused, the others wait for it and this call would wait for them.
        dist.destroy_process_group()
    except Refused:
        if place_.rank:
            raise SystemExit(1) from None
        raise


def require_one_launcher(own: launchers.Place, processes: int | None, gpus: int | None) -> None:
    """Raise Refused `contradicting-devices` if the processes of a launcher would launch more, and train twice."""
    given = f"--gpus {gpus}" if gpus is not None else f"--processes {processes}" if processes is not None else None
    if given is not None:
        message = f"{own.by} started {own.world} processes, and `{given}` would start more in each"
        help_ = f"leave out `{given}`: the processes of the launcher share every step"
        raise Refused(Diagnostic("contradicting-devices", message, place=given.split()[0], help=help_))


def _meet(backend: str, place_: launchers.Place) -> None:
    """Wait for the other processes. Raises what torch raises."""
    store: Store | None = None
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and os.environ.get("GROUP_WORLD_SIZE") == "1":
        # All restarts share one store, and would read the addresses of processes that have ended (pytorch issue
        # 135712). The agents of several machines may count restarts differently.
        again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        shared = TCPStore(place_.address, place_.port, place_.world, is_master=False)
        store = PrefixStore(f"shapeflow-{again}", shared)
    elif place_.launcher == "srun":
        store = TCPStore(place_.address, place_.port, place_.world, is_master=place_.rank == 0)
    if store is None:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=store, rank=place_.rank, world_size=place_.world)


def _own_device(device: str, place_: launchers.Place) -> torch.device:
    """The device of this process. Slurm may show each task its own GPU alone, which is then number 0."""
    on_gpus = device == "cuda" or (device == "auto" and bool(gpus()))
    if on_gpus and place_.launcher == "srun" and len(gpus()) == 1:
        return place(device, 1).device(0)
    return place(device, place_.local_world if on_gpus else 1).device(place_.local)


@contextlib.contextmanager
def losses_named(lost: Callable[[Sequence[str]], Diagnostic]) -> Iterator[None]:
    """Raise Refused instead of torch's error for a process that can no longer be reached. `lost`: makes the diagnostic
    from notes on what torch says."""
    try:
        yield
    except RuntimeError as error:
        # gloo raises plain errors, which name its own source file.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise Refused(lost([_first_line(error)])) from error


def lost_peer(choices: Choices, notes: Sequence[str]) -> Diagnostic:
    """The error of a process of a launcher for a run whose other processes can no longer be reached."""
    return _worker_lost("this process ended, too", notes, choices, _relaunch(choices, launchers.placed()))


def _first_line(error: Exception) -> str:
    """Return what torch says is wrong, without the place in its source and its advice."""
    text = re.sub(r"^\[[^]]*\] ", "", str(error).partition("\n")[0])
    return text.partition(". ")[0] or type(error).__name__


def launch(plan: Plan, choices: Choices, where: Place, listen: Listen, warn: Warn) -> Outcome:
    """Start the processes of a run on this machine and follow their leader.

    Raises the leader's Refused, or Refused `worker-lost` if a process ended unexpectedly.
    """
    # Plain memory: a signal handler that waited for a lock could wait forever.
    asked = get_context("spawn").RawValue("i", 0)
    with Stop(lambda number: setattr(asked, "value", asked.value or number)):
        listened: Mapping[str, Callable[[Any], None]] = {"event": listen, "warning": warn}
        outcome, lost = followed(work, (plan_json.dumps(plan), choices, where, asked), where.processes, listened)
    if outcome is None:
        raise Refused(_lost(lost, choices, where))
    return outcome  # type: ignore[no-any-return]  # what the leader sent


def followed(
    function: Callable[..., None],
    arguments: Sequence[Any],
    processes: int,
    listened: Mapping[str, Callable[[Any], None]],
) -> tuple[Any, list[ChildFailedError]]:
    """Call a function in some processes on this machine, with the arguments and a connection to this process.

    Returns the value of the leader's message `outcome`, and how processes failed; None, if it sent none. `listened`:
    what gets the values of its other messages. Raises the leader's Refused."""
    # Without this, workers read stale addresses from the launcher's store (pytorch issue 135712).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=secrets.token_hex(8),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=_POLL,
        start_method="spawn",
    )
    lost: list[ChildFailedError] = []

    def launched() -> None:
        try:
            with held_back():
                elastic_launch(config, function)(*arguments, sender)
        except ChildFailedError as error:
            lost.append(error)

    # Use a separate thread: in the main thread, torch's launcher handles signals by killing the workers.
    thread = threading.Thread(target=launched, daemon=True)
    thread.start()
    try:
        outcome = _listened(receiver, thread, listened)
    except KeyboardInterrupt:
        for process in active_children():
            process.kill()
        # The launcher must have noticed: this process cannot end while its thread is in torch's code.
        thread.join()
        raise
    thread.join()
    return outcome, lost


def _listened(receiver: Connection, thread: threading.Thread, listened: Mapping[str, Callable[[Any], None]]) -> Any:
    outcome: Any = None
    while True:
        alive = thread.is_alive()
        while receiver.poll(_POLL if alive else 0):
            message: Message = receiver.recv()
            if message.what == "refused":
                thread.join()
                raise Refused(*message.value)
            if message.what == "outcome":
                outcome = message.value
            else:
                listened[message.what](message.value)
        if not alive:
            return outcome


def work(text: str, choices: Choices, where: Place, asked: Any, sender: Connection) -> None:
    """Run one process of a launched run. `text`: the plan as JSON; `asked.value`: the number of the signal that the
    launching process received, or 0."""
    plan = plan_json.loads(text, "plan")
    with Stop(also=lambda: asked.value) as stop:
        let_through()
        with one_of_several(where.kind, sender) as (team, send):
            outcome = train(plan, choices, team, stop, partial(send, "event"), partial(send, "warning"))
            send("outcome", outcome)


@contextlib.contextmanager
def one_of_several(
    device: str, sender: Connection, all_report: bool = False
) -> Iterator[tuple[Team, Callable[[str, Any], None]]]:
    """Join the other processes that `followed` started. Yields the team, and what sends a message of the leader: what
    it is, and its value. If the leader is refused, or with `all_report` any process, it sends that and ends."""
    own = launchers.placed()
    assert own is not None  # torch's launcher sets RANK
    with joined(device, own) as team:

        def send(what: str, value: Any) -> None:
            if team.leads:
                sender.send(Message(what, value))

        try:
            yield team, send
        except Refused as refused:
            if team.leads or all_report:
                sender.send(Message("refused", refused.diagnostics))
            # The others may wait for this process. The launcher ends them once this one has exited.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


def _lost(errors: list[ChildFailedError], choices: Choices, where: Place) -> Diagnostic:
    many = f" --gpus {where.processes}" if where.kind == "cuda" else f" --processes {where.processes}"
    again = f"`{resume_command(choices.folder)}{many}`"
    return _worker_lost("the others were ended", failures(errors), choices, again)


def failures(errors: Sequence[ChildFailedError]) -> list[str]:
    """How processes failed, in words."""
    notes = []
    for error in errors:
        rank, failure = error.get_first_failure()
        how = failure.signal_name() if failure.exitcode < 0 else f"exit status {failure.exitcode}"
        notes.append(f"process {rank} ended with {how}")
        # For a Python error, torch reports the traceback. For a signal, it reports only that there was one.
        message = failure.message.get("message", "") if isinstance(failure.message, dict) else failure.message
        if failure.exitcode >= 0 and not str(message).startswith("To enable traceback"):
            notes += str(message).strip().splitlines()[-1:]
    return notes


def _relaunch(choices: Choices, by: launchers.Place | None) -> str:
    """How a launcher of several processes continues a run."""
    again = resume_command(choices.folder)
    if by is not None and by.launcher == "srun":
        return f"`srun --ntasks {by.world} {again}`"
    if by is not None and by.world == by.local_world:
        return f"`torchrun --nproc-per-node {by.world} -m {again}`"
    return f"the command of the launcher on every machine, now with `{again}`"


def _worker_lost(effect: str, notes: Sequence[str], choices: Choices, again: str) -> Diagnostic:
    """`again`: how to continue the run."""
    return Diagnostic(
        "worker-lost",
        f"a process of the run was lost, so {effect}",
        place=str(choices.folder),
        notes=tuple(notes),
        help=f"continue from the last checkpoint with {again}; the system kills a process that runs out of memory",
    )
