"""Trains a plan once to completion, then once per given moment, where the run kills itself with SIGKILL.

    python killed.py PLAN FOLDER MOMENT...

The complete run writes to `FOLDER/whole`. A moment is written `KIND:NUMBER`, and its run writes to
`FOLDER/KIND-NUMBER`. NUMBER is a step, or a stage for `applied`. Kinds:

step     right after the step is logged
applied  right after the switch to the stage is logged
torn     halfway through writing the largest file of the checkpoint at the step
unnamed  after the checkpoint is written, before it is renamed to its final name
named    after the checkpoint is renamed, before older checkpoints are deleted
logged   halfway through writing the step's line to the log

The killed runs are forks of this process, so torch loads its modules only once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from shapeflow.api import run
from shapeflow.ir import plan_json
from shapeflow.ir.events import Event, StepDone, TransitionApplied
from shapeflow.ir.plan import Plan
from shapeflow.running import run_log
from shapeflow.running.execute import checkpoint_name
from shapeflow_torch import checkpoint


def die(*_: object) -> Any:
    """Kill this process with SIGKILL: nothing is flushed, closed or cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def listener(kind: str, number: int) -> Callable[[Event], None]:
    """A listener that kills the process after the event of a `step` or `applied` moment."""

    def listen(event: Event) -> None:
        if kind == "step" and isinstance(event, StepDone) and event.step == number:
            die()
        if kind == "applied" and isinstance(event, TransitionApplied) and event.stage == number:
            die()

    return listen


def harm_checkpoint(kind: str, number: int) -> None:
    """Patch checkpoint writing so that the process dies while it writes the checkpoint of one step."""
    name, rename, remove = checkpoint_name(number), os.rename, shutil.rmtree

    def torn(path: Path, data: Iterable[bytes | memoryview]) -> dict[str, int | str]:
        if path.name == "optimizer.safetensors" and name in path.parent.name:
            whole = b"".join(data)
            path.write_bytes(whole[: len(whole) // 2])
            die()
        return write(path, data)

    def unnamed(source: Path, target: Path) -> None:
        if target.name == name:
            die()
        rename(source, target)

    def named(path: Path, **choices: Any) -> None:
        if (path.parent / name).exists():
            die()
        remove(path, **choices)

    write = checkpoint._write
    if kind == "torn":
        checkpoint._write = torn
    elif kind == "unnamed":
        os.rename = unnamed  # type: ignore[assignment]
    elif kind == "named":
        shutil.rmtree = named  # type: ignore[assignment]


def harm_log(number: int) -> None:
    """Patch the log so that the process dies in the middle of a step's line."""
    write = run_log.Log.write

    def half(self: run_log.Log, event: Event) -> None:
        if isinstance(event, StepDone) and event.step == number:
            self._file.write(b'{"event": "step_done", "step": ')
            die()
        write(self, event)

    run_log.Log.write = half  # type: ignore[method-assign]


def train(plan: Plan, where: Path, kind: str, number: int) -> None:
    """Train the plan in a folder and die at the given moment."""
    harm_checkpoint(kind, number)
    if kind == "logged":
        harm_log(number)
    run(plan, where, device="cpu", listen=listener(kind, number))


def main(plan_file: str, target: str, *moments: str) -> None:
    """Print, for each moment, the signal that ended its run; 0 if the run completed."""
    plan = plan_json.load(Path(plan_file))
    torch.set_num_threads(1)
    run(plan, Path(target, "whole"), device="cpu")
    for moment in moments:
        kind, number = moment.split(":")
        child = os.fork()
        if not child:
            train(plan, Path(target, f"{kind}-{number}"), kind, int(number))
            os._exit(0)
        print(moment, os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
