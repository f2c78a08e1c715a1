"""Signals that end a run: the first one after a checkpoint, a second SIGINT immediately."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Ctrl-C; schedulers and `kill`; a closed connection; the two that schedulers send ahead of a time limit; and the end
of `--stop-after`."""

EXIT_STOPPED = 75
"""Exit code of a command that a signal stopped and that continues if it is started again. It is EX_TEMPFAIL of
`sysexits.h`; see docs/exit-codes.md."""


class Stopped(KeyboardInterrupt):
    """A command was stopped by a signal. Nothing is lost: it continues if it is started again."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Stop:
    """Notes the first of `SIGNALS` that arrives inside the `with` block. Outside the main thread, none is noted."""

    def __init__(
        self, notify: Callable[[int], None] = lambda number: None, also: Callable[[], int] = lambda: 0
    ) -> None:
        """`notify`: called with the number of each signal but a second SIGINT; `also`: the number of a signal that
        another process received, or 0."""
        self._first, self._notify, self._also = 0, notify, also
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> str | None:
        """The name of the signal that asks for a stop, such as `SIGTERM`; None if none arrived."""
        number = self._first or self._also()
        return signal.Signals(number).name if number else None

    def __enter__(self) -> Stop:
        self._before = _handle(self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._first and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._first = self._first or number
        self._notify(number)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Raise `Stopped` at the first of `SIGNALS` inside the block, and KeyboardInterrupt at a later SIGINT, so that
    `finally` clauses can end what was started. Other later signals are ignored."""
    heard = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise Stopped(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt

    before = _handle(stop)
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """Let SIGTERM end this process at once, inside the block: it waits for others in code that hears no handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let no stop signal reach this thread, nor a process that it starts, until `let_through` is called there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """End what a parent's `held_back` left in this process. Signals that arrived in between take effect now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Install a handler in the main thread. Returns the previous handlers.

    SIGHUP stays ignored where it is ignored: `nohup` asks for that."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in SIGNALS if number not in ignored}


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
