"""What happens to a command from outside: signals, full disks, and files that may not be seen."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shapeflow.cli import answer, main
from shapeflow.laws.logs.readers.log import Log

EXAMPLE = Path(__file__).parents[1] / "examples/digits.shape"


def test_ctrl_c_while_modules_are_imported(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    class Importing(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "shapeflow.cli.group", Importing("shapeflow.cli.group"))
    assert answer(["--help"]) == 130
    assert capfd.readouterr().err == "stopped\n"


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of a new process; those of the tests are restored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_a_file_is_written_leaves_nothing(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handlers: None
) -> None:
    (tmp_path / "a.txt").write_text("some text")
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(number))
    with pytest.raises(SystemExit) as ended:
        main(["tokenize", f"{tmp_path / 'a.txt'}", "-o", f"{tmp_path / 'a.bin'}", "--tokenizer", "bytes"])
    assert ended.value.code == 128 + number
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_ignored_signal_stays_ignored(handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_signal_within_an_atomic_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shapeflow.base.files import write_text

    write_text(path := tmp_path / "a.json", "old")
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files have at most 100 kB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_token_file_for_which_there_is_no_space(
    tmp_path: Path, small_files: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("a" * 90_000)
    before = sorted(os.listdir(tmp_path))
    assert answer(["tokenize", f"{tmp_path}", "-o", f"{tmp_path / 'a.bin'}", "--tokenizer", "bytes"]) == 1
    assert "error[cannot-write]" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "words",
    [
        ["show", "hidden/a.json"],
        ["tokenize", "a.txt", "-o", "hidden/a.bin", "--tokenizer", "bytes"],
        ["tokenize", "a.txt", "-o", "a.bin", "--tokenizer", "hidden/tokenizer.json"],
        ["frontier", "hidden/a.csv"],
    ],
)
def test_a_folder_that_may_not_be_entered(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tests may run as a user who may enter any folder."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a")
    real = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if "hidden" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert answer(words) in (1, 2)
    said = capsys.readouterr().err
    assert "hidden/" in said
    assert "bug" not in said


def test_a_table_with_a_name_that_is_not_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_text("params,tokens,loss\n1,2,3\n")
    assert answer(["frontier", str(path)]) == 1
    assert "its name is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["doctor"], ["phases", "--fit"], ["frontier"]])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_log_that_vanishes_between_two_readings(
    words: list[str], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("width,params,tokens,step,loss\n" + "".join(f"8,9,{n},{n},{1 + 1 / n}\n" for n in range(1, 50)))
    real, count = Log.rows, 0

    def rows(self: Log) -> Iterator[Any]:
        nonlocal count
        count += 1
        if count == times:
            path.unlink()
        return real(self)

    monkeypatch.setattr(Log, "rows", rows)
    answer([*words, str(path)])
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["doctor", "."], ["run", str(EXAMPLE), "--quiet", "--device", "cpu"]])
def test_a_current_folder_that_was_removed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert answer(words) == 1
    assert "it was removed" in capsys.readouterr().err
