"""Records what some steps of a run do, operation by operation, as a trace in Chrome's format.

Only the leading process is recorded. What lies between the steps (evaluations, checkpoints, switches) is recorded too.
Recording changes no number: it reads the names, shapes and times of operations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import torch
from torch.autograd.profiler import profile, record_function

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write
from shapeflow.ir.plan import Plan
from shapeflow.running.options import Steps

Warn = Callable[[Diagnostic], None]


def check_steps(plan: Plan, steps: Steps | None) -> None:
    """Raise Refused `no-such-steps` if a plan does not have the steps that are to be recorded, counted from 1."""
    if steps is None or 1 <= steps[0] <= steps[1] <= plan.steps:
        return
    message = f"the plan has the steps 1 to {plan.steps:,}, and `--profile {written(steps)}` asks for others"
    first = max(1, plan.steps - (steps[1] - steps[0]))
    help_ = f"write `--profile {written((first, plan.steps))}` or earlier steps"
    raise Refused(Diagnostic("no-such-steps", message, place="--profile", help=help_))


def written(steps: Steps) -> str:
    """Return steps as `--profile` takes them."""
    return str(steps[0]) if steps[0] == steps[1] else f"{steps[0]}..{steps[1]}"


class Trace:
    """Records the steps of a run in this process, and writes their trace into the run's folder."""

    def __init__(self, steps: Steps | None, folder: Path, device: torch.device, warn: Warn) -> None:
        """`steps`: first and last one, counted from 1; None: nothing is recorded."""
        self._steps, self._folder, self._device, self._warn = steps, folder, device, warn
        self._profile: Any = None
        self._first = self._last = 0
        self.path: Path | None = None
        """The trace, once it has been written."""

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Make a step, counted from 1, inside the block."""
        if self._steps is None or not self._steps[0] <= number <= self._steps[1]:
            yield
            return
        if self._profile is None:
            self._first = number
            # Torch would print two lines about itself.
            os.environ.setdefault("KINETO_LOG_LEVEL", "6")
            # `torch.profiler.profile` is a shell around this class that imports the compiler, which takes seconds.
            self._profile = profile(use_device="cuda" if self._device.type == "cuda" else None, record_shapes=True)
            self._profile.__enter__()
        with record_function(f"step {number}"):
            yield
        self._last = number
        if number == self._steps[1]:
            self._finish()

    def close(self) -> None:
        """Write what was recorded if the run ended early, and warn of steps that were not recorded."""
        self._finish()
        if self._steps is None or (self._first, self._last) == self._steps:
            return
        if not self._last:
            message = f"`--profile {written(self._steps)}`: this process made none of these steps"
        else:
            message = f"`--profile {written(self._steps)}`: recorded only {said((self._first, self._last))}"
        notes = ("they were made before it began, or the run ended before them",)
        help_ = "name steps after the checkpoint that the run goes on from, or start another run"
        self._warn(Diagnostic("not-profiled", message, place="--profile", notes=notes, help=help_, severity="warning"))

    def abandon(self) -> None:
        """Stop recording and write nothing: the run failed."""
        made, self._profile = self._profile, None
        if made is not None:
            made.__exit__(None, None, None)

    def _finish(self) -> None:
        made, self._profile = self._profile, None
        if made is None:
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        made.__exit__(None, None, None)
        path = self._folder / name_of((self._first, self._last))
        try:
            _write(made, path)
        except Refused as refused:
            # A run is worth more than its trace.
            (found,) = refused.diagnostics
            self._warn(attrs.evolve(found, severity="warning", help="the run goes on without its trace"))
        else:
            self.path = path


def said(steps: Steps) -> str:
    """Return steps in words."""
    return f"step {steps[0]:,}" if steps[0] == steps[1] else f"steps {steps[0]:,} to {steps[1]:,}"


def name_of(steps: Steps) -> str:
    """Return the name of the trace of steps in a run's folder."""
    return f"trace-{steps[0]}-{steps[1]}.json"


def _write(made: Any, path: Path) -> None:
    """Write a trace atomically. Raises Refused `cannot-write`, `disk-full`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Torch reports neither a file that it cannot open nor a full disk: then the end is missing.
        with temporary.open("wb"):
            pass
        made.export_chrome_trace(str(temporary))
        with temporary.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            if b'"traceName"' not in file.read():
                raise OSError("it is incomplete: is the disk full?")
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error if isinstance(error, OSError) else OSError(str(error))) from error
    finally:
        temporary.unlink(missing_ok=True)
