"""Runs several plans in parallel, each in a separate process.

Finished runs are kept and interrupted runs are resumed: start an interrupted sweep or comparison again to continue it.
A run that is too short goes on from its end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write
from shapeflow.base.printing import say
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import save
from shapeflow.running.backend import backend
from shapeflow.running.forks import ForkServer, Process
from shapeflow.running.launchers import without_launcher
from shapeflow.running.run_log import CHECKPOINTS, EVENTS, PLAN, require_machine
from shapeflow.running.runs import Run, aside, copies, is_run, last_step, read_run
from shapeflow.running.stop import EXIT_STOPPED, Stopped, stopping
from shapeflow.running.training import begins_like

_POLL = 0.2
"""Seconds between two polls of the processes."""


@attrs.frozen
class Job:
    """One run: a plan, its folder, and the held-out value or the step at which it may stop early."""

    label: str
    plan: Plan
    folder: Path
    until: tuple[str, float] | None = None
    pause: int | None = None

    @property
    def steps(self) -> int:
        """The number of steps, unless the run reaches its goal before."""
        return self.plan.steps if self.pause is None else min(self.pause, self.plan.steps)

    @property
    def finished(self) -> bool:
        """Whether the run has reached its end, its goal or its pause. A longer run that begins with this one counts.

        Raises Refused `other-plan` if the folder contains a run of another plan."""
        run = self.earlier
        if run is None:
            return False
        if run.plan.digest != self.plan.digest:
            return run.done >= self.steps
        reached = self.until is not None and run.reaches(*self.until) is not None
        paused = self.pause is not None and run.done >= self.pause
        return run.ended is not None and (run.ended.finished or reached or paused)

    @property
    def earlier(self) -> Run | None:
        """The run in the folder, of the same plan or of a longer or shorter one that begins like it; None if there is
        none. Raises Refused `other-plan`."""
        if not (self.folder / PLAN).is_file():
            return None
        run = read_run(self.folder)
        if run.plan.digest != self.plan.digest and not begins_like(run.plan, self.plan):
            message = f"the run in `{self.folder}` follows another plan"
            help_ = "choose another folder with `-o`, or remove this one"
            raise Refused(Diagnostic("other-plan", message, place=str(self.folder), help=help_))
        return run


Watch = Callable[[Job, int, str], None]
"""Called with a job, its steps done, and its state: `runs`, `done` or `kept`."""


@attrs.define
class SharedServer:
    """A server that is started when it is first needed."""

    _server: ForkServer | None = None

    def server(self, threads: int | None, machine: str = "torch") -> ForkServer:
        """The server. `threads`: CPU threads of each job; `machine`: the backend that most jobs use."""
        if self._server is None:
            self._server = ForkServer(without_launcher(), threads, machine)
        return self._server

    def close(self) -> None:
        """Stop the server, if there is one, and wait for it."""
        if self._server is not None:
            self._server.close()


@attrs.frozen
class Pool:
    """How jobs are run: `at_once` jobs in parallel, on a device, with data paths relative to `root`."""

    at_once: int
    device: str
    root: Path
    machine: str = "torch"
    """The backend that executes the plans."""
    more: tuple[str, ...] = ()
    """Further arguments of each `shapeflow run`: how it computes, and trackers."""
    shared: SharedServer | None = attrs.field(default=None, eq=False, repr=False)
    """The server of several calls of `run`; None: each call has its own."""

    @classmethod
    def of(
        cls, at_once: int | None, device: str, root: Path, machine: str = "torch", more: tuple[str, ...] = ()
    ) -> Pool:
        """Create a pool. `at_once` defaults to the number of CPU cores, or 1 on a machine with a GPU."""
        on_gpu = device == "cuda" or (device == "auto" and at_once is None and bool(backend(machine)().gpus()))
        return cls(at_once or (1 if on_gpu else os.cpu_count() or 1), device, root, machine, more)

    @property
    def threads(self) -> int | None:
        """CPU threads of each job; None: as `run` chooses them.

        Jobs share the cores, since threads that wait for a core spin. All jobs use the same number of threads, since
        their times are compared."""
        return max(1, (os.cpu_count() or 1) // self.at_once) if self.at_once > 1 else None

    def run(self, jobs: Sequence[Job], watch: Watch) -> list[Run]:
        """Run all jobs and return their runs in the same order. After a failure, stops the other jobs and raises
        Refused; `other-machine` before anything is run."""
        waiting = []
        for job in jobs:
            _put_back(job.folder)
            require_machine(job.folder, self.machine)
            if job.finished:
                watch(job, job.steps, "kept")
            else:
                waiting.append(job)
        with stopping():
            self._run(waiting, watch)
        return [read_run(job.folder) for job in jobs]

    def _run(self, waiting: list[Job], watch: Watch) -> None:
        running: list[_Running] = []
        shared = self.shared or SharedServer()
        try:
            server = shared.server(self.threads, self.machine) if waiting and self._forks else None
            self._work(waiting, running, watch, server)
        except KeyboardInterrupt as error:
            if isinstance(error, Stopped):
                say("stopping; run the same command again to continue", err=True)
            _end(running, error.number if isinstance(error, Stopped) else signal.SIGKILL)
            raise
        finally:
            _end(running, signal.SIGTERM)
            if self.shared is None:
                shared.close()

    @contextlib.contextmanager
    def kept(self) -> Iterator[Pool]:
        """The same pool, whose calls of `run` share one server."""
        shared = SharedServer()
        try:
            yield attrs.evolve(self, shared=shared)
        finally:
            shared.close()

    @property
    def _forks(self) -> bool:
        """Whether jobs are forks of a server: on Linux, without a GPU. Starting an interpreter and torch takes longer
        than a short run."""
        on_cpu = self.device == "cpu" or (self.device == "auto" and not backend(self.machine)().gpus())
        return sys.platform == "linux" and on_cpu

    def _work(self, waiting: list[Job], running: list[_Running], watch: Watch, server: ForkServer | None) -> None:
        """Start waiting jobs and watch running ones until all are done."""
        while waiting or running:
            while waiting and len(running) < self.at_once:
                running.append(self._start(waiting.pop(0), server))
            time.sleep(_POLL)
            for one in list(running):
                if one.process.poll() is None:
                    watch(one.job, one.steps(), "runs")
                    continue
                running.remove(one)
                one.check()
                watch(one.job, one.job.steps, "done")

    def _start(self, job: Job, server: ForkServer | None) -> _Running:
        job = _in_place(job, self.machine)
        begun = (job.folder / EVENTS).exists() or (job.folder / CHECKPOINTS).exists()
        save(job.plan, job.folder / PLAN)
        arguments = ["run", str(job.folder / PLAN), "-o", str(job.folder), "--quiet"]
        arguments += ["--root", str(self.root), "--device", self.device]
        arguments += ["--machine", self.machine] if self.machine != "torch" else []
        arguments += self.more
        arguments += ["--threads", str(self.threads)] if self.threads is not None else []
        arguments += ["--resume"] if begun else []
        arguments += ["--until", f"{job.until[0]}<={job.until[1]!r}"] if job.until else []
        arguments += ["--pause", str(job.pause)] if job.pause is not None else []
        # Use a file instead of a pipe: a full pipe blocks its writer.
        said = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in `check` or `end`
        if server is not None:
            return _Running(job, server.start(arguments, Path(said.name)), said)
        command, nothing = [sys.executable, "-m", "shapeflow", *arguments], subprocess.DEVNULL
        return _Running(job, subprocess.Popen(command, stdout=nothing, stderr=said, env=without_launcher()), said)


def _put_back(folder: Path) -> None:
    """Undo what a process did that was killed while it extended the run in a folder: the old run returns if the new one
    had not taken its place, and copies of it are removed."""
    before = aside(folder)
    if is_run(before) and not is_run(folder):
        try:
            os.rename(before, folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
    for left in copies(folder):
        shutil.rmtree(left, ignore_errors=True)


def _in_place(job: Job, machine: str) -> Job:
    """A job that continues the run in its folder. A shorter run goes on as the job's plan; a longer one keeps its own
    plan, and pauses where the job ends."""
    earlier = job.earlier
    if earlier is None or earlier.plan.digest == job.plan.digest:
        return job
    if earlier.plan.steps > job.plan.steps:
        return attrs.evolve(job, plan=earlier.plan, pause=job.steps)
    backend(machine)().extend(job.folder, job.plan, aside(job.folder))
    return job


def _end(running: list[_Running], number: int) -> None:
    """Send a signal to all processes, so that each saves a checkpoint and stops, and wait for them.

    A second Ctrl-C meanwhile ends them at once. After Ctrl-C they get SIGTERM: a terminal has sent them SIGINT already,
    and a second one would end them without a checkpoint."""
    try:
        for one in running:
            one.process.send_signal(signal.SIGTERM if number == signal.SIGINT else number)
        while running:
            running[-1].wait()
            running.pop()
    except KeyboardInterrupt:
        for one in running:
            one.process.send_signal(signal.SIGKILL)
        raise


@attrs.frozen
class _Running:
    job: Job
    process: Process
    said: IO[bytes]

    def steps(self) -> int:
        """The number of steps done, read from the end of the log."""
        return last_step(self.job.folder)

    def check(self) -> None:
        """Raise Refused `run-failed` with the output of the process if it failed."""
        text = self._read()
        if self.process.returncode not in (0, EXIT_STOPPED):
            message = f"the run of {self.job.label} ended with exit code {self.process.returncode}"
            raise Refused(Diagnostic("run-failed", message, place=str(self.job.folder), notes=(text.strip(),)))
        if text:
            say(text.removesuffix("\n"), err=True)
        if not self.job.finished:
            message, help_ = f"the run of {self.job.label} was stopped before its end", "run the same command again"
            raise Refused(Diagnostic("run-failed", message, place=str(self.job.folder), help=help_))

    def wait(self) -> None:
        """Wait until the process has ended."""
        self.process.wait()
        self._read()

    def _read(self) -> str:
        self.said.seek(0)
        text = self.said.read()
        self.said.close()
        return text.decode(errors="replace")
