"""A short fuzzing campaign, and all inputs that campaigns found before. `make fuzz` runs a long one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

from campaign import bounded, campaign, fault

CORPUS = Path(__file__).parent / "fuzz/corpus"
KNOWN = sorted(path.parent for path in CORPUS.glob("*/fault.json"))


@pytest.mark.parametrize("folder", KNOWN, ids=lambda folder: folder.name)
def test_no_fault_returns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    shutil.copytree(folder, work)
    monkeypatch.chdir(work)
    with bounded():
        assert fault(json.loads((folder / "fault.json").read_text())["command"]) is None


def test_a_short_campaign() -> None:
    assert not campaign(12, seed=0)


def test_a_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception, too much memory and an endless command are all reported."""
    monkeypatch.setattr("campaign.STUCK", 0.3)

    def endless(command: list[str]) -> None:
        while True:
            pass

    def huge(command: list[str]) -> None:
        bytearray(1 << 33)

    def wrong(command: list[str]) -> None:
        raise KeyError(command[0])

    for does, said in ((endless, "endless"), (huge, "memory"), (wrong, "traceback: KeyError")):
        monkeypatch.setattr("campaign.answer", does)
        with bounded():
            found = fault(["show"])
        assert found is not None
        assert found.startswith(said)
