"""A lock on a run's folder: one process at a time runs there.

The lock is `flock`, which the system releases however a process ends. Some network file systems do not have it. There a
file `run.lock` stands in, which names its holder and has a counter that the holder raises every few seconds. The rule
for a `run.lock` that another process finds:

- The holder is on this computer, which has not been started again since: it is alive if its process is. The number of
  a process is used again, so that the time counts at which it started.
- The holder is on another computer, or in another container: whoever wants the lock watches the counter for `WATCH`
  seconds. If it rises, the holder is alive. If not, it has ended, and its file is removed.

No clock is read: neither is the time of day compared between computers, nor the age of a file. A clock that jumps
changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, make_folder, read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.running.holder import alive, described, here, holder_of, leave_card, take_card
from shapeflow.running.run_log import LOCK

BEAT = 5.0
"""Seconds between two rises of the counter."""
WATCH = 20.0
"""Seconds of watching after which a counter that has not risen belongs to a process that has ended."""
_POLL = 0.5
_AGAIN = 0.05

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""What `flock` says if another process holds the lock. Anything else says that there is no `flock` here."""


class Lock:
    """A lock on a folder, held while a process runs in it; see the module."""

    def __init__(self, folder: Path) -> None:
        """Raises Refused `run-busy`, `cannot-write`."""
        self._file: _LockFile | None = None
        self._folder, self._about = folder, described()
        try:
            make_folder(folder)
            self._descriptor = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(folder, error) from error
        except ValueError as error:  # a null byte
            raise cannot_write(folder, OSError(str(error))) from error
        try:
            _locked(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            self._descriptor = -1
            if error.errno in _TAKEN:
                raise _busy(folder, attrs.asdict(found) if (found := holder_of(folder)) else None) from error
            self._file = _LockFile(folder)
        else:
            leave_card(folder, self._about)

    def release(self) -> None:
        """Let others run in the folder. A second call does nothing."""
        if self._file is not None:
            self._file.release()
        elif self._descriptor >= 0:
            take_card(self._folder, self._about)
            os.close(self._descriptor)
            self._descriptor = -1


def _locked(descriptor: int) -> None:
    """Take `flock`. Whoever looks at a folder holds it for a moment, so that it is tried twice. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        time.sleep(_AGAIN)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _LockFile:
    """The stand-in for `flock`: a file that exists while its holder runs."""

    def __init__(self, folder: Path) -> None:
        """Raises Refused `run-busy`, `cannot-write`."""
        self._path, self._folder = folder / LOCK, folder
        self._own = described()
        self._ended, self._beats = threading.Event(), 0
        while not self._made():
            found = self._read()
            if found is not None:
                self._require_ended(found)
                self._remove(found)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._mine():
            self._path.unlink(missing_ok=True)

    def _text(self) -> str:
        return json.dumps({**self._own, "beats": self._beats}, sort_keys=True)

    def _made(self) -> bool:
        """Whether this process could create the file, which no two processes can."""
        temporary = self._path.with_name(f".{LOCK}.{self._own['host']}-{os.getpid()}")
        try:
            temporary.write_text(self._text())
            # Unlike a file that is created and then filled, a link is complete from the beginning.
            os.link(temporary, self._path)
        except FileExistsError:
            return False
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _read(self) -> Mapping[str, Any] | None:
        """What the file says; None if it is gone. A file that cannot be understood is nobody's."""
        try:
            found = parse_json(read_regular(self._path).decode(errors="replace"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return found if isinstance(found, dict) else {}

    def _require_ended(self, found: Mapping[str, Any]) -> None:
        """Raise Refused `run-busy` if the holder runs; see the module for the rule."""
        if here(found):
            if alive(found):
                raise _busy(self._folder, found)
            return
        until = time.monotonic() + WATCH
        while time.monotonic() < until:
            time.sleep(min(_POLL, WATCH))
            now = self._read()
            if now is None:
                return
            if now != found:
                raise _busy(self._folder, now)

    def _remove(self, found: Mapping[str, Any]) -> None:
        """Remove the file of a process that has ended, unless another process has replaced it meanwhile."""
        aside = self._path.with_name(f".{LOCK}.ended-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._path, aside)
            if (_parsed(aside) or {}) != found:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self._path)
            aside.unlink(missing_ok=True)

    def _mine(self) -> bool:
        found = self._read() or {}
        return all(found.get(name) == value for name, value in self._own.items())

    def _beat(self) -> None:
        """Raise the counter until the lock is released. A file system that fails for a while ends no run."""
        while not self._ended.wait(BEAT):
            self._beats += 1
            temporary = self._path.with_name(f".{LOCK}.beat-{os.getpid()}")
            with contextlib.suppress(OSError, Refused):
                if self._mine():
                    temporary.write_text(self._text())
                    os.replace(temporary, self._path)


def _parsed(path: Path) -> Mapping[str, Any] | None:
    try:
        found = parse_json(read_regular(path).decode(errors="replace"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _busy(folder: Path, holder: Mapping[str, Any] | None = None) -> Refused:
    process = None if holder is None else holder.get("process")
    host = None if holder is None else holder.get("host")
    notes = () if process is None else (f"process {process} on `{host}`",)
    if process == os.getpid() and host == described()["host"]:
        message, help_ = f"this process already runs in `{folder}`", "close its first session: `session.close()`"
        return Refused(Diagnostic("run-busy", message, place=str(folder), notes=notes, help=help_))
    message = f"another process is running in `{folder}`"
    return Refused(Diagnostic("run-busy", message, place=str(folder), notes=notes))
