"""The command line: reads arguments, calls one function, sets the exit code.

The exit codes are those of docs/exit-codes.md.

This module imports as little as it can: a SIGTERM or SIGHUP before `main` is called ends the process without clean-up.
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
    try:
        # Until now, Ctrl-C ended the process at once (`shapeflow/__main__.py`).
        if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = answer(arguments)
    except KeyboardInterrupt:
        code = _stopped()
    sys.exit(code)


def _stopped() -> int:
    with contextlib.suppress(OSError):
        os.write(2, b"stopped\n")
    return 128 + signal.SIGINT


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
        return _stopped()
