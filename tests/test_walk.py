"""Folders that hold more than is looked at, and folders of the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.base.walk import is_pseudo
from shapeflow.cli import answer
from shapeflow.laws.logs.discover import discover
from shapeflow.laws.logs.matches import matches

LOG = "step,loss\n" + "".join(f"{10 * i},{2 + 5 / i}\n" for i in range(1, 20))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """26 files and folders, at most 20 of which may be looked at; the log is the last of them, and the deepest."""
    for number in range(12):
        (tmp_path / f"f{number}").mkdir()
        (tmp_path / f"f{number}/note.txt").write_text("a note")
    (tmp_path / "f9/runs").mkdir()
    (tmp_path / "f9/runs/log.csv").write_text(LOG)
    monkeypatch.setenv("SHAPEFLOW_MOST_LOG_ENTRIES", "20")
    return tmp_path


@pytest.mark.parametrize(
    "command", [["doctor", "."], ["doctor", "**/log.csv"], ["doctor", "*/*"], ["phases", "--fit", "."]], ids=" ".join
)
def test_a_tree_above_the_limit(
    tree: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tree)
    if command[1] == "*/*":
        monkeypatch.setenv("SHAPEFLOW_MOST_LOG_ENTRIES", "10")
    assert answer(command) == 1
    said = capsys.readouterr().err
    assert "error[too-many-entries]" in said
    assert "name the folder of the logs" in said


def test_a_law_source_above_the_limit(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'axis width in [1, 2] via width_expand\nlaws from fit("**/log.csv")\ntraversal steepest\nbudget 1 PFLOPs\n'
    (tree / "a.shape").write_text(text)
    monkeypatch.chdir(tree)
    assert answer(["compile", "a.shape", "-o", "out.json"]) == 1
    assert "error[too-many-entries]" in capsys.readouterr().err


def test_a_limit_that_is_raised(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPEFLOW_MOST_LOG_ENTRIES", "27")
    assert discover(tree).logs == (tree / "f9/runs/log.csv",)
    assert matches("**/log.csv", str(tree)) == ["f9/runs/log.csv"]


def test_logs_above_a_large_tree_are_found(tree: Path) -> None:
    """Only the levels that are looked at count."""
    (tree / "log.csv").write_text(LOG)
    assert discover(tree).logs == (tree / "log.csv",)


def test_circles_are_entered_once(tree: Path) -> None:
    for number in range(6):
        (tree / f"f9/runs/{number}").symlink_to(tree / "f9")
    with pytest.raises(Refused, match="holds more than 20"):
        discover(tree)
    assert discover(tree / "f9").logs == (tree / "f9/runs/log.csv",)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_files_of_the_system_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "system").symlink_to("/proc")
    (tmp_path / "memory").symlink_to("/proc/self/status")
    assert discover(tmp_path).logs == discover(Path("/proc")).logs == ()
    assert matches("system/**/status", str(tmp_path)) == []


@pytest.mark.parametrize(
    ("path", "pseudo"),
    [("/proc/1", True), ("/sys", True), ("/dev/zero", True), ("/dev/shm/runs", False), ("/process", False)],
)
def test_folders_of_the_system(path: str, pseudo: bool) -> None:
    assert is_pseudo(path) == pseudo or os.path.realpath(path) != path


def test_folders_of_data_above_the_limit(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHAPEFLOW_MOST_DATA_ENTRIES", "5")
    assert answer(["tokenize", str(tree), "-o", str(tree / "o.bin"), "--tokenizer", "bytes"]) == 1
    assert "error[too-many-entries]" in capsys.readouterr().err
    assert not (tree / "o.bin").exists()
