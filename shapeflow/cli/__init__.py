"""The command line: reads arguments, calls one function, sets the exit code.

The exit codes are those of docs/exit-codes.md.

This module imports as little as it can: a signal that arrives before `main` is called ends in a traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main(arguments: list[str] | None = None) -> None:
    """The `shapeflow` command."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # A signal that the parent ignores, such as SIGHUP under `nohup`, stays ignored.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _leave)
    sys.exit(answer(arguments))


def _leave(number: int, _: object) -> None:
    """End the command through its `finally` clauses, which remove temporary files."""
    raise SystemExit(128 + number)


def answer(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. User errors never end in a traceback."""
    try:
        from shapeflow.cli.group import answered

        return answered(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        # It came while modules were imported, or the output was flushed.
        with contextlib.suppress(OSError):
            os.write(2, b"stopped\n")
        return 128 + signal.SIGINT
