"""What all pieces share: where they write, how much time is left, and commands that stop when it is spent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]
GRACE = 40.0
"""Seconds that a command may take to save a checkpoint and stop; after that it is killed."""
TAIL = 12
"""Lines of a failed command's output that are kept as its reason."""

Result = Mapping[str, Any]
"""What a piece has measured so far, as JSON."""


class OutOfTime(Exception):  # noqa: N818 - not an error
    """The minutes are spent; a later call continues the piece."""


class Failed(Exception):  # noqa: N818 - reported, not a bug
    """A piece cannot be finished. Its text is the reason."""


@attrs.frozen
class Kit:
    """The choices of one call. `device`: `cpu` or `cuda`; `data`: the folder of Fashion-MNIST; `flops`: the compute of
    each run; `jobs`: runs in parallel; `deadline`: when to stop, by `time.monotonic`."""

    folder: Path
    toy: bool
    device: str
    data: Path
    flops: float
    jobs: int
    deadline: float

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


Piece = Callable[[Kit, Result], Iterator[Result]]
"""Yields its result each time it has measured more, and returns when it is finished. It begins with the result of
earlier calls. Raises OutOfTime, Failed."""


def environment() -> dict[str, str]:
    """The environment of commands: they import this checkout, installed or not."""
    own = [str(ROOT / each) for each in ("", "grammar", "backends", "benchmarks")]
    given = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*own, *given]), "PYTHONUNBUFFERED": "1"}


def shapeflow(*words: str) -> list[str]:
    """A command of the product."""
    return [sys.executable, "-m", "shapeflow", *words]


def finish(kit: Kit, command: Sequence[str], log: Path, output: Path | None = None) -> None:
    """Run a command in the folder of its log, to its end. When the time is spent it gets SIGTERM, on which shapeflow
    saves checkpoints and stops.

    `log`: a file to append the output to; `output`: a file for standard output alone. Raises OutOfTime, and Failed with
    the last lines of the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        said = files.enter_context(log.open("ab"))
        printed = said if output is None else files.enter_context(output.open("wb"))
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment(), stdout=printed, stderr=said, process_group=0
        )
        try:
            code = process.wait(kit.left)
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        finally:
            _end(process)
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        raise Failed("\n".join([f"exit code {code}", *lines]))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a command that still runs to stop, and kill it with its children if it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
