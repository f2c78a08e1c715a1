"""The lock on a run's folder where the file system has no `flock`: never busy when it is free, never free when busy."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.running import lock
from shapeflow.running.lock import Lock


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def _no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.lock").read_text())
    return found


def left_by(folder: Path, **other: object) -> Mapping[str, object]:
    """Write the file of another holder: this process, but for some fields. Returns it."""
    mine = Lock(folder)
    found = content(folder)
    mine.release()
    (folder / "run.lock").write_text(json.dumps({**found, **other}))
    return {**found, **other}


@pytest.mark.usefixtures("_no_flock")
def test_a_file_stands_in(tmp_path: Path) -> None:
    held = Lock(tmp_path)
    with pytest.raises(Refused, match="run-busy") as caught:
        Lock(tmp_path)
    assert caught.value.diagnostics[0].notes == (f"process {os.getpid()} on `{content(tmp_path)['host']}`",)
    held.release()
    held.release()
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path).release()


@pytest.mark.usefixtures("_no_flock")
@pytest.mark.parametrize("other", [{"started": "1"}, {"process": 2**31}, {"process": "x"}])
def test_a_process_of_this_computer_that_has_ended(other: dict[str, object], tmp_path: Path) -> None:
    left_by(tmp_path, **other)
    held = Lock(tmp_path)
    assert content(tmp_path)["process"] == os.getpid()
    held.release()


@pytest.mark.usefixtures("_no_flock")
@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_file_that_nobody_wrote_is_replaced(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WATCH", 0.0)
    (tmp_path / "run.lock").write_text(text)
    Lock(tmp_path).release()


@pytest.mark.usefixtures("_no_flock")
@pytest.mark.parametrize("rises", [True, False])
def test_a_holder_on_another_computer_is_watched(rises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counter decides. No time of day does: the file may be as old or as new as it likes."""
    found = left_by(tmp_path, host="elsewhere")
    os.utime(tmp_path / "run.lock", (0, 0) if rises else (2**33, 2**33))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if rises and len(slept) == 2:
            (tmp_path / "run.lock").write_text(json.dumps({**found, "beats": 1}))

    monkeypatch.setattr(lock.time, "sleep", sleep)
    monkeypatch.setattr(lock.time, "monotonic", lambda: sum(slept))
    if rises:
        with pytest.raises(Refused, match="run-busy"):
            Lock(tmp_path)
        assert content(tmp_path)["host"] == "elsewhere"
    else:
        Lock(tmp_path).release()
        assert sum(slept) >= lock.WATCH


@pytest.mark.usefixtures("_no_flock")
def test_the_counter_rises_and_a_file_of_another_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.001)
    held = Lock(tmp_path)
    while content(tmp_path)["beats"] < 2:
        pass
    other = json.dumps({**content(tmp_path), "host": "elsewhere"})
    held._file._ended.set()  # type: ignore[union-attr]
    held._file._thread.join()  # type: ignore[union-attr]
    (tmp_path / "run.lock").write_text(other)
    held.release()
    assert (tmp_path / "run.lock").read_text() == other


@pytest.mark.usefixtures("_no_flock")
def test_a_killed_holder(tmp_path: Path) -> None:
    script = """
import errno, fcntl, os, signal, sys
from pathlib import Path
def flock(descriptor, operation):
    raise OSError(errno.ENOSYS, "")
fcntl.flock = flock
from shapeflow.running.lock import Lock
Lock(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    assert content(tmp_path)["beats"] == 0
    Lock(tmp_path).release()
