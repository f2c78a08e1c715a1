"""Runs commands in forks of this process, which imports only once what `shapeflow run` needs on a CPU.

`python -m shapeflow.cli.fork_server [THREADS]` is started by `shapeflow/running/forks.py`. Requests on stdin and
answers on stdout are lines of JSON:

    {"job": 1, "run": ["run", "plan.json", ...], "said": "FILE"}   run a command; its stderr is appended to FILE
    {"stop": 1, "signal": 15}                                      send a signal to the process of a job
    {"ready": true}                                                answer: everything is imported
    {"job": 1, "ended": 0}                                         answer: exit code, or minus the number of a signal

At the end of the requests, all jobs are stopped, and the server ends after them. If the server dies, the system sends
SIGTERM to its jobs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

import attrs

_PR_SET_PDEATHSIG = 1


@attrs.frozen
class _Server:
    requests: int
    answers: int
    """A file descriptor that the jobs inherit and never use: it is closed when the last of them has ended."""
    ended: int
    """A file descriptor that becomes readable when a child ends."""
    handlers: Mapping[signal.Signals, Any]
    """Signal handlers of the jobs."""
    jobs: dict[int, int] = attrs.field(factory=dict, init=False)
    """Process id of each running job -> its number."""

    def serve(self) -> None:
        """Serve until the requests end and all jobs have ended."""
        self._answer({"ready": True})
        rest = b""
        while True:
            ready, _, _ = select.select([self.requests, self.ended], [], [])
            if self.ended in ready:
                os.read(self.ended, 1 << 9)
                self._report(os.WNOHANG)
            if self.requests in ready:
                received = os.read(self.requests, 1 << 16)
                if not received:
                    break
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    self._follow(json.loads(line))
        for process in self.jobs:
            os.kill(process, signal.SIGTERM)
        self._report(0)

    def _follow(self, request: Mapping[str, Any]) -> None:
        """Start or stop a job. One that has ended is not stopped: its id is reserved until `_report` asks for it."""
        if "run" in request:
            server, process = os.getpid(), os.fork()
            if not process:
                self._become(request["run"], request["said"], server)
            self.jobs[process] = request["job"]
        else:
            for process, number in self.jobs.items():
                if number == request["stop"]:
                    os.kill(process, request["signal"])

    def _report(self, options: int) -> None:
        """Report the jobs that have ended. `options`: WNOHANG, or 0 to wait for all jobs."""
        for process, number in list(self.jobs.items()):
            found, status = os.waitpid(process, options)
            if found:
                del self.jobs[process]
                self._answer({"job": number, "ended": os.waitstatus_to_exitcode(status)})

    def _answer(self, answer: Mapping[str, object]) -> None:
        # The reader may have died. Then the requests end, and the jobs are stopped.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.answers, json.dumps(answer).encode() + b"\n")

    def _become(self, arguments: Sequence[str], said: str, server: int) -> NoReturn:
        """Turn this fork into a new interpreter's process that runs a command, and leave with its exit code."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number, handler in self.handlers.items():
                signal.signal(number, handler)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != server:  # it died before the call
                os.kill(os.getpid(), signal.SIGTERM)
            os.close(self.requests)
            os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND), 2)
            from shapeflow.cli import answer

            code = answer(list(arguments))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Leave without the exit handlers of the server.
            os._exit(code)


def _preload(machine: str, threads: int | None) -> None:
    """Import what a run needs, in the same order as a run: the number of threads is set after numpy was imported and
    before torch is."""
    import shapeflow.cli.group
    import shapeflow.ir.plan_json
    import shapeflow.preview.run
    import shapeflow.preview.screen
    from shapeflow.cli.run_ import use_threads

    if threads is not None:
        use_threads(threads)
    import shapeflow.api  # noqa: F401
    from shapeflow.running.backend import backend

    backend(machine)().preload()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handle SIGCHLD: only a signal with a handler wakes `select`."""


def main() -> None:
    """Import what a run needs, and serve. A signal to the whole group, such as Ctrl-C in a terminal, reaches all
    processes: the jobs stop, and the server waits for them."""
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    handlers = {number: signal.getsignal(number) for number in (*ignored, signal.SIGCHLD)}
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
    signal.signal(signal.SIGCHLD, _nothing)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    requests, answers, nothing = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    # A run that cannot import something reports it itself.
    with contextlib.suppress(Exception):
        _preload(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else None)
    _Server(requests, answers, ended, handlers).serve()
    # Freeing what was imported takes longer than a second.
    os._exit(0)


if __name__ == "__main__":
    main()
