"""Which process runs in a run's folder, and for how long. Only looks: it never takes the lock (see `lock.py`)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import read_regular, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.running.run_log import HOLDER, LOCK

SILENT = 20.0
"""Seconds without a sign of life after which a process on another computer, without `flock`, counts as ended."""


@attrs.frozen
class Holder:
    """The process that runs in a folder."""

    host: str | None
    """None: it holds the lock, and its description is missing."""
    process: int | None
    seconds: float | None
    """Time since it took the lock. Read off the clock of its computer and of this one."""


def described() -> dict[str, Any]:
    """This process, as a lock describes it. `since`: the time of day, which is only shown and decides nothing."""
    own = os.getpid()
    return {
        "host": socket.gethostname(),
        "boot": boot(),
        "process": own,
        "started": began(own),
        "since": round(time.time(), 1),
    }


def leave_card(folder: Path, about: Mapping[str, Any]) -> None:
    """Write who holds the lock of a folder. A file system that refuses does not end the run: the lock holds without."""
    with contextlib.suppress(Refused):
        write_text(folder / HOLDER, json.dumps(about, sort_keys=True))


def take_card(folder: Path, about: Mapping[str, Any]) -> None:
    """Remove what `leave_card` wrote, unless another process wrote since."""
    with contextlib.suppress(OSError):
        if _read(folder / HOLDER) == about:
            (folder / HOLDER).unlink()


def holder_of(folder: Path) -> Holder | None:
    """The process that runs in a folder; None if none does, or if it cannot be known."""
    if (found := _read(folder / LOCK)) is not None:
        if here(found):
            return _holder(found) if alive(found) else None
        with contextlib.suppress(OSError):
            # A file from the future was written by a clock that disagrees with this one: its age is not known.
            silent = abs(time.time() - (folder / LOCK).stat().st_mtime)
            return _holder(found) if silent < SILENT else None
        return None
    found = _read(folder / HOLDER)
    if found is not None and here(found):
        return _holder(found) if alive(found) else None
    return _holder(found or {}) if _locked(folder) else None


def _locked(folder: Path) -> bool:
    """Whether a process holds `flock` on a folder. Takes it for a moment, shared: a lock is therefore tried twice."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _holder(found: Mapping[str, Any]) -> Holder:
    host, process, since = (found.get(name) for name in ("host", "process", "since"))
    seconds = max(0.0, time.time() - since) if isinstance(since, int | float) else None
    return Holder(host if isinstance(host, str) else None, process if isinstance(process, int) else None, seconds)


def here(found: Mapping[str, Any]) -> bool:
    """Whether a process is numbered by this computer, which was not started again since, and not in a container."""
    return found.get("host") == socket.gethostname() and found.get("boot") == boot()


def alive(found: Mapping[str, Any]) -> bool:
    """Whether a process of this computer runs. Its number is used again, so that the time counts at which it began."""
    process = found.get("process")
    return isinstance(process, int) and (start := began(process)) is not None and start == found.get("started")


def began(process: int) -> str | None:
    """When a process started, in ticks since this computer did; None if there is no such process, or it has ended."""
    try:
        # The second field, the name of the program, may contain spaces and parentheses.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return None
    except PermissionError:
        pass
    return "running"


def boot() -> str:
    """A name of what numbers processes: this computer since it started, or a container on it. An empty text where the
    system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _read(path: Path) -> Mapping[str, Any] | None:
    """What a file of a lock says; None without one."""
    try:
        found = parse_json(read_regular(path).decode(errors="replace"))
    except (OSError, ValueError, Refused):
        return None
    return found if isinstance(found, dict) else None
