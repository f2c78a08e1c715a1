"""Trains a plan to its end, then once for each of several moments, and kills itself there.

    python killed.py PLAN FOLDER MOMENT...

The run that is not killed takes place in `FOLDER/whole`. A moment is `KIND:NUMBER`; its run takes place in
`FOLDER/KIND-NUMBER`. Kinds:

step     as soon as that step is in the log
applied  as soon as the switch to that stage is in the log
torn     in the middle of writing the largest file of the checkpoint at that step
unnamed  when that checkpoint is written and has not its name yet
named    when it has its name, and older ones are still there
logged   in the middle of writing that step's line into the log

The killed runs are forks of this process, so that all that torch loads while it trains is loaded once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from shapeflow.ir import plan_json
from shapeflow.ir.events import Event, StepDone, TransitionApplied
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import checkpoint_name
from shapeflow_torch import checkpoint, folder
from shapeflow_torch.run import run


def die(*_: object) -> Any:
    """Nothing is flushed, closed or cleaned up after this."""
    os.kill(os.getpid(), signal.SIGKILL)


def listener(kind: str, number: int) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if kind == "step" and isinstance(event, StepDone) and event.step == number:
            die()
        if kind == "applied" and isinstance(event, TransitionApplied) and event.stage == number:
            die()

    return listen


def harm_checkpoint(kind: str, number: int) -> None:
    """Let the writing of one checkpoint end in the middle."""
    name, rename, remove = checkpoint_name(number), os.rename, shutil.rmtree

    def torn(path: Path, data: bytes) -> None:
        if path.name == "optimizer.safetensors" and name in path.parent.name:
            path.write_bytes(data[: len(data) // 2])
            die()
        write(path, data)

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
    """Let the log end in the middle of a step's line."""
    write = folder.Log.write

    def half(self: folder.Log, event: Event) -> None:
        if isinstance(event, StepDone) and event.step == number:
            self._file.write(b'{"event": "step_done", "step": ')
            die()
        write(self, event)

    folder.Log.write = half  # type: ignore[method-assign]


def train(plan: Plan, where: Path, kind: str, number: int) -> None:
    harm_checkpoint(kind, number)
    if kind == "logged":
        harm_log(number)
    run(plan, where, device="cpu", listen=listener(kind, number))


def main(plan_file: str, target: str, *moments: str) -> None:
    """Prints, for each moment, the signal that ended its run; 0 where it came to its end."""
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
