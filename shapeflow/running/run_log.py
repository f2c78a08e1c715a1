"""The files of a run's folder, and the log of events that every machine writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, read_text
from shapeflow.base.json_text import parse_json
from shapeflow.ir.events import Event, RunEnded, StepDone, TransitionApplied, event_from_json, event_to_json

PLAN, DATA, EVENTS, CHECKPOINTS = "plan.json", "data.json", "events.jsonl", "checkpoints"
ABOUT, LOCK, HOLDER = "run.json", "run.lock", "holder.json"
OWN_LOOP = "own loop"
"""What `data.json` names as the machine of a run that was made by a training loop of its own."""
LINES = 5_000
"""Maximum number of steps in a log."""


def require_machine(folder: Path, machine: str) -> None:
    """Raise Refused `other-machine` if a folder contains a run of another machine: its log is neither to be continued
    nor to be read as that of this one."""
    if not (folder / EVENTS).exists() or (found := machine_of(folder)) == machine:
        return
    message = f"the run in `{folder}` was made by the machine `{found}`, not by `{machine}`"
    other = "" if OWN_LOOP in (found, machine) else f", or write `--machine {found}`"
    help_ = f"choose another folder{'' if machine == OWN_LOOP else ' with `-o`'}{other}"
    raise Refused(Diagnostic("other-machine", message, place=str(folder), help=help_))


def machine_of(folder: Path) -> str:
    """The machine that `data.json` names; `torch` if it names none."""
    try:
        about = parse_json(read_text(folder / DATA))
    except (Refused, ValueError):
        return "torch"
    return str(about.get("machine", "torch")) if isinstance(about, dict) else "torch"


def removed(folder: Path) -> Refused:
    """The error for a folder that was removed or moved during its run."""
    message = f"the folder of the run was removed or moved: `{folder}`"
    help_ = "if it was moved, continue it where it is: `shapeflow run FOLDER --resume`; otherwise start the run again"
    return Refused(Diagnostic("run-removed", message, place=str(folder), help=help_))


def logged(path: Path, done: int) -> Iterator[tuple[str, Event]]:
    """The lines of a log, and their events, up to a number of steps: without the switch that follows, which a run
    makes again, and without the end of the run. A truncated line ends it."""
    for line in read_text(path).splitlines():
        try:
            event = event_from_json(parse_json(line, finite=False))
        except (ValueError, TypeError):
            return
        switches = isinstance(event, TransitionApplied) and event.step == done
        if event.step > done or switches or isinstance(event, RunEnded):
            return
        yield line, event


class Log:
    """Appends events to `events.jsonl`. Each line is written at once; `sync` and the end of the run sync it to disk."""

    def __init__(self, folder: Path, steps: int) -> None:
        """Raises Refused `disk-full`, `cannot-write`."""
        self._path = folder / EVENTS
        self._every = max(1, -(-steps // LINES))
        try:
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def keeps(self, event: Event) -> bool:
        """Whether an event is written. Of steps, only every N-th is."""
        return not isinstance(event, StepDone) or event.step % self._every == 0

    def write(self, event: Event) -> None:
        """Raises Refused `disk-full`, `cannot-write`, and `run-removed` if the log was deleted."""
        if not self.keeps(event):
            return
        if not os.fstat(self._file.fileno()).st_nlink:
            raise removed(self._path.parent)
        left = f"{json.dumps(event_to_json(event))}\n".encode()
        try:
            # The file is unbuffered, since `close` would flush a buffer and fail again on a full disk. An unbuffered
            # write may write only part of the line.
            while left:
                left = left[self._file.write(left) :]
            if isinstance(event, RunEnded):
                os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def sync(self) -> None:
        """Make the events so far durable. The entry of the file in its folder is durable since `prepare` wrote it.

        Raises Refused `disk-full`, `cannot-write`."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Raises Refused `disk-full`, `cannot-write`."""
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self._path, error) from error
