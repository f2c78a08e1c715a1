"""A short fuzzing campaign, and all inputs that campaigns found before. `make fuzz` runs a long one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

from campaign import campaign, prepared, quotas
from chunks import Chunk, drawn, run
from counts import Report
from judge import bounded, called, judged
from target import Target

CORPUS = Path(__file__).parent / "fuzz/corpus"
KNOWN = sorted(path.parent for path in CORPUS.glob("*/fault.json"))
SHORT = {"shape": 60, "plan": 15, "log": 8, "laws": 2, "pilots": 2}
"""Inputs of a kind in a short campaign; 3 of every other."""


@pytest.mark.parametrize("folder", KNOWN, ids=lambda folder: folder.name)
def test_no_fault_returns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    shutil.copytree(folder, work)
    monkeypatch.chdir(work)
    with bounded():
        assert judged(json.loads((folder / "fault.json").read_text())["command"]).fault is None


@pytest.fixture(scope="module")
def by_kind() -> dict[str, list[Target]]:
    return prepared()


def test_a_short_campaign(by_kind: dict[str, list[Target]], tmp_path: Path) -> None:
    faults: dict[str, int] = {}
    for kind, known in by_kind.items():
        (folder := tmp_path / kind).mkdir()
        chunk = Chunk(kind, 0, 0, SHORT.get(kind, 3))
        found = run(chunk, known, folder, None)
        assert found.inputs == chunk.inputs
        faults |= found.faults
    assert not faults


EXPECTED = {"shape", "fmt", "editing", "mixed-laws/laws.json"}
"""Kinds and files of which some are refused as they are: they begin with a mistake."""


def test_files_are_read_before_they_are_mutated(
    by_kind: dict[str, list[Target]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target whose files are refused as they are tests only the first check."""
    refused = []
    for number, target in enumerate({id(one): one for known in by_kind.values() for one in known}.values()):
        if EXPECTED & {target.name, target.mutated}:
            continue
        (place := tmp_path / str(number)).mkdir()
        target.write(place)
        monkeypatch.chdir(place)
        refused += [(target.name, command) for command in target.commands if called(command)]
    assert not refused


def test_inputs_follow_from_their_names(by_kind: dict[str, list[Target]]) -> None:
    names = [f"7/{kind}/3/{number}" for kind in by_kind for number in range(3)]
    first, second = ([drawn(name, by_kind[name.split("/")[1]])[1] for name in names] for _ in range(2))
    assert first == second
    assert len(set(first)) > len(names) / 2


def test_each_kind_of_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judge.STUCK", 0.3)

    def endless(command: list[str]) -> int:
        while True:
            pass

    def huge(command: list[str]) -> int:
        return len(bytearray(1 << 33))

    def wrong(command: list[str]) -> int:
        raise KeyError(command[0])

    def raw(command: list[str]) -> int:
        print("\x1b[31mred")
        return 0

    def warns(command: list[str]) -> int:
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)
        return 0

    cases = (
        (endless, "endless"),
        (huge, "memory"),
        (wrong, "traceback: KeyError"),
        (raw, "raw: U+001B"),
        (warns, "warning: RuntimeWarning"),
        (lambda _: 1, "silent"),
        (lambda _: 3, "exit: code 3"),
    )
    for does, said in cases:
        monkeypatch.setattr("judge.answer", does)
        with bounded():
            found = judged(["show"]).fault
        assert found is not None
        assert found.startswith(said)


def test_a_process_that_dies_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its input is kept, the other inputs are made, and the counts are written to a file."""

    def dies(source: bytes, draw: object) -> bytes:
        return b"die" if source == b"bad" else source

    def reads(command: list[str]) -> int:
        if Path("f").read_bytes() == b"die":
            os._exit(7)
        return 0

    monkeypatch.setattr("judge.answer", reads)
    known = {
        kind: [Target(kind, "f", dies, {"f": content}, (("show", "f"),))]
        for kind, content in (("a", b"bad"), ("b", b"good"))
    }
    report = Report(0, quotas("a=1,other=30", list(known)), tmp_path / "counts.json")
    campaign(known, report, 60, 2, tmp_path / "corpus")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["whole"]["faults"] == {"a: died: exit code 7": 1}
    assert {kind: each["inputs"] for kind, each in counts["kinds"].items()} == {"a": 1, "b": 30}
    [kept] = (tmp_path / "corpus").iterdir()
    assert (kept / "f").read_bytes() == b"die"
