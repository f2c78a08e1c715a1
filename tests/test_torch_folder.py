"""Damaged run folders: broken checkpoints, a truncated log, a full disk."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from plans import toy_image_plan
from torch_tools import machine

from shapeflow.api import run
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import Event, RunEnded, RunStarted, StepDone
from shapeflow.running import run_log
from shapeflow_torch import checkpoint, folder

PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)


def resumed(where: Path) -> list[Event]:
    heard: list[Event] = []
    run(PLAN, where, device="cpu", resume=True, listen=heard.append)
    return heard


def test_if_every_checkpoint_is_broken_nothing_is_changed(tmp_path: Path) -> None:
    run(PLAN, tmp_path, device="cpu")
    for path in (tmp_path / "checkpoints").iterdir():
        (path / "model.safetensors").write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    warned: list[Diagnostic] = []
    with pytest.raises(Refused) as caught:
        run(PLAN, tmp_path, device="cpu", resume=True, warn=warned.append)
    found = [(each.code, each.severity) for each in caught.value.diagnostics]
    assert found == [("broken-checkpoint", "error")] * 2
    assert not warned
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_new_checkpoint_outlives_broken_ones_of_later_steps(tmp_path: Path) -> None:
    made = machine(PLAN)
    names = [f"step-{step:09d}" for step in (1, 2, 8, 9)]
    for name in names[:1] + names[2:]:
        (tmp_path / name).mkdir()
    made.save(tmp_path / names[1], 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == names[:2]
    assert checkpoint.newest(tmp_path) == tmp_path / names[1]


def test_a_log_is_durable_before_its_checkpoint_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power failure may leave a checkpoint without the events before it."""
    synced: dict[int, int] = {}
    found: list[tuple[int | None, int]] = []
    fsync, rename = os.fsync, os.rename

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        synced[status.st_ino] = status.st_size

    def appears(source: Path, target: Path) -> None:
        status = (tmp_path / "run" / "events.jsonl").stat()
        assert all((Path(source) / name).stat().st_ino in synced for name in os.listdir(source))
        assert all(folder.stat().st_ino in synced for folder in (Path(source), tmp_path, tmp_path / "run"))
        found.append((synced.get(status.st_ino), status.st_size))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", appears)
    run(PLAN, tmp_path / "run", device="cpu")
    assert len(found) == 3
    assert all(durable == size for durable, size in found)


COPIES = ("step-000000008-best", "step-best", "step-8", ".step-mine", "step-000000004 (copy)")


def test_copies_of_a_user_are_neither_removed_nor_resumed_from(tmp_path: Path) -> None:
    run(PLAN, tmp_path, device="cpu")
    folder_ = tmp_path / "checkpoints"
    for name in COPIES:
        shutil.copytree(folder_ / "step-000000008", folder_ / name)
    (folder_ / "step-000000099").symlink_to(folder_ / "step-best")
    assert checkpoint.newest(folder_) == folder_ / "step-000000012"
    made = machine(PLAN)
    for step in (16, 20):
        made.save(folder_ / f"step-{step:09d}", step)
    left = {path.name for path in folder_.iterdir()}
    assert left == {"step-000000016", "step-000000020", "step-000000099", *COPIES}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    run(PLAN, tmp_path, device="cpu", pause=6)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "checkpoints" / f".step-000000004.{gone.pid}"
    left.mkdir()
    temporary = tmp_path / f".data.json.{socket.gethostname()[:50]}-{gone.pid}.abc_1234.tmp"
    reused = tmp_path / f".plan.json.{socket.gethostname()[:50]}-{os.getpid()}.abc_1234.tmp"
    other = tmp_path / ".data.json.mine"
    for path in (temporary, reused, other):
        path.touch()
    resumed(tmp_path)
    assert not left.exists()
    assert not temporary.exists()
    assert not reused.exists()
    assert other.exists()


def test_an_old_checkpoint_is_removed_on_resume_if_no_new_one_follows(tmp_path: Path) -> None:
    run(PLAN, tmp_path, device="cpu")
    events = tmp_path / "events.jsonl"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-1]))
    names = ["step-000000008", "step-000000012"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == names
    for left in ("step-000000004", "step-000000003", ".step-000000012.7", "step-000000020", "step-000000004-mine"):
        (tmp_path / "checkpoints" / left).mkdir()
    resumed(tmp_path)
    found = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert found == ["step-000000004-mine", *names, "step-000000020"]


@pytest.mark.parametrize("torn", [None, 0, 1, 30])
def test_the_line_of_a_checkpoint_is_written_again(torn: int | None, tmp_path: Path) -> None:
    """The log may end before, in or after the line of the checkpoint that is resumed from."""
    run(PLAN, tmp_path, device="cpu", pause=6)
    events = tmp_path / "events.jsonl"
    whole = folder.lines_until(events, 4)
    *before, line = whole.splitlines(keepends=True)
    assert json.loads(line) == {"event": "checkpoint_saved", "step": 4, "name": "step-000000004"}
    events.write_text("".join(before) + line[:torn])
    assert folder.lines_until(events, 4) == whole


@pytest.mark.parametrize("gone", [".", "events.jsonl"])
def test_a_folder_that_is_removed_during_the_run(gone: str, tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 5:
            path = tmp_path / "run" / gone
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(Refused, match="run-removed"):
        run(PLAN, tmp_path / "run", device="cpu", listen=listen)
    assert (tmp_path / "run").exists() == (gone != ".")


def test_a_folder_that_is_moved_during_the_run(tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 5:
            (tmp_path / "run").rename(tmp_path / "moved")

    with pytest.raises(Refused, match="run-removed") as refused:
        run(PLAN, tmp_path / "run", device="cpu", listen=listen)
    assert "if it was moved" in str(refused.value.diagnostics[0].help)
    assert not (tmp_path / "run").exists()
    assert resumed(tmp_path / "moved")[-1].step == 12


def test_killed_between_the_last_checkpoint_and_the_end(tmp_path: Path) -> None:
    run(PLAN, tmp_path, device="cpu")
    events = tmp_path / "events.jsonl"
    whole = events.read_text().splitlines(keepends=True)
    for kept in (whole[:-1], [*whole[:-1], whole[-1][:9]]):
        events.write_text("".join(kept))
        heard = resumed(tmp_path)
        assert heard == [RunStarted(PLAN.digest, 12), RunEnded(12, heard[-1].compute, True)]  # type: ignore[union-attr]
        assert resumed(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_a_log_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    log = run_log.Log(tmp_path, 12)
    with pytest.raises(Refused, match="disk-full"):
        log.write(RunStarted(PLAN.digest, 0))
    log.close()


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").mkdir()
    with pytest.raises(Refused, match="cannot-write"):
        run_log.Log(tmp_path, 12)
