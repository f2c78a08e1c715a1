"""Handles stop signals. The first signal ends the run after a checkpoint; a second SIGINT ends it immediately."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A flag that SIGINT and SIGTERM set inside the `with` block. Outside the main thread, signals do not set it."""

    def __init__(self, notify: Callable[[], None] = lambda: None, also: Callable[[], bool] = lambda: False) -> None:
        """`notify`: called at each signal but a second SIGINT; `also`: another condition that requests a stop."""
        self._asked, self._notify, self._also = False, notify, also
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        return self._asked or self._also()

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        self._notify()
