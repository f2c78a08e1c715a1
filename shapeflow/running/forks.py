"""Runs jobs as forks of one server process, `shapeflow/cli/fork_server.py`, which imports only once what they need."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused

_SERVER = "shapeflow.cli.fork_server"


class Process(Protocol):
    """What a pool needs of the process of a job. `subprocess.Popen` has it."""

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that ended the process; None if it has not ended."""

    def poll(self) -> int | None:
        """Return `returncode` without waiting. Raises Refused `run-failed` if it will never be known."""

    def send_signal(self, sig: int) -> None:
        """Send a signal to the process. All of `stop.SIGNALS` ask it to save a checkpoint and stop."""

    def wait(self) -> object:
        """Wait until the process has ended."""


class ForkServer:
    """A server for the jobs of one pool. It stops the jobs when it is closed, and when this process dies.

    If the server dies, its jobs are asked to save a checkpoint and stop. Server and jobs hold the same pipe of answers:
    at its end, all of them have ended."""

    def __init__(self, environment: Mapping[str, str], threads: int | None, machine: str = "torch") -> None:
        """Start the server. `environment`: that of the jobs; `threads`: as in `run --threads`, None: as `run` chooses
        them; `machine`: the backend that is imported ahead."""
        command = [sys.executable, "-m", _SERVER, machine, *([] if threads is None else [str(threads)])]
        pipe = subprocess.PIPE
        with _without_interrupts():
            self._process = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, env=dict(environment))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._ready, self._jobs, self._rest = False, 0, b""
        self.codes: dict[int, int] = {}
        """Job number -> exit code."""
        self.lost = False
        """Whether the answers have ended, so that no exit code can follow."""

    def start(self, arguments: Sequence[str], said: Path) -> Forked:
        """Run the command `shapeflow ARGUMENTS`. `said`: an existing file, to which its stderr is appended."""
        self._jobs += 1
        self._send({"job": self._jobs, "run": list(arguments), "said": str(said)})
        return Forked(self, self._jobs)

    def _send(self, request: Mapping[str, object]) -> None:
        """Send a request. If the server has died, nothing happens; `read` finds out."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request).encode() + b"\n")

    def read(self, wait: bool) -> None:
        """Read the answers that have arrived. `wait`: first wait for one, or for their end."""
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if self.lost or not poll.poll(None if wait else 0):
            return
        received = self._answers.read(1 << 16)
        self.lost = not received
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "ready" in answer:
                self._ready = True
            else:
                self.codes[answer["job"]] = answer["ended"]

    def send_signal(self, job: int, number: int) -> None:
        """Send a signal to the process of a job, to end it."""
        self._send({"stop": job, "signal": number})
        if not self._ready:
            # No job has begun. Do not wait until the server has imported everything.
            self._process.terminate()

    def refusal(self) -> Refused:
        """The error of a server that has died."""
        message = f"the process that starts the runs ended too early, with exit code {self._process.wait()}"
        notes = ("its runs were asked to save a checkpoint and stop",)
        help_ = "run the same command again to continue"
        return Refused(Diagnostic("run-failed", message, place=_SERVER, notes=notes, help=help_))

    def close(self) -> None:
        """Stop the jobs that are left, and wait for them and for the server."""
        self._requests.close()
        while not self.lost:
            self.read(wait=True)
        self._process.wait()
        self._answers.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Delay the signals that the server ignores. A process that is started inherits this: the server ends the delay
    when it can ignore them, and is not ended by one that arrives before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@attrs.frozen
class Forked:
    """The process of a job: a fork of the server."""

    server: ForkServer
    number: int

    @property
    def returncode(self) -> int | None:
        return self.server.codes.get(self.number)

    def poll(self) -> int | None:
        self.server.read(wait=False)
        if self.returncode is None and self.server.lost:
            raise self.server.refusal()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        self.server.send_signal(self.number, sig)

    def wait(self) -> None:
        while self.returncode is None and not self.server.lost:
            self.server.read(wait=True)
