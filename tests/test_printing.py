"""What is printed is safe for a terminal, and every way in which stdout fails has its ending."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path
from typing import Any

import attrs
import pytest
from sources import BY_HAND, TWO_LAWS, compiled, written

from shapeflow.base.safe import safe, safe_json
from shapeflow.cli import answer
from shapeflow.ir import plan_json

ROOT = Path(__file__).parent.parent
EVIL = (
    "\x1b[31mRED\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202eevil\u2066\u2028\r é "
    "[/bold] [link=http://evil]y[/link] $\\frac{"
)
RAW = set("\x1b\x07\x9b\x7f\u202e\u2066\u2028\r")
"""The characters of `EVIL` that a terminal would interpret."""
PRINTERS = {"shapeflow/base/printing.py", "shapeflow/preview/screen.py"}
PRINTS = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "Console"}
COMMANDS = ["compile", "show", "simulate", "show --json", "simulate --json"]
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")


def evil_plan(folder: Path) -> Path:
    """A plan whose name, metric and notes have codes for terminals, markup and half a formula."""
    body = plan_json.plan_to_json(compiled(folder, TWO_LAWS))
    body = json.loads(json.dumps(body).replace(json.dumps(body["metric"]), json.dumps(body["metric"] + EVIL)))
    body = {**body, "name": f"_{EVIL}", "notes": [EVIL]}
    path = folder / "evil.json"
    path.write_text(json.dumps(plan_json.SEAL.close(plan_json._without_seal(body))))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_texts_of_a_plan_are_printed_safely(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = evil_plan(tmp_path)
    assert answer([*command.split(), str(path)]) == 0
    shown = capsys.readouterr().out
    assert not RAW & set(shown)
    if "--json" not in command:
        assert "[link=http://evil]" in shown
    if command == "show --json":
        assert json.loads(shown)["notes"] == [EVIL]


@pytest.mark.parametrize(
    "words", [["compile", f"{EVIL}.shape"], ["compile", "x", EVIL], [EVIL], ["show", EVIL]], ids=str
)
def test_arguments_are_printed_safely(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(words) != 0
    assert not RAW & set("".join(capsys.readouterr()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_picture_of_such_a_plan(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / f"x.{kind}"
    assert answer(["simulate", str(evil_plan(tmp_path)), "--plot", str(picture)]) == 0
    if kind == "svg":
        xml.dom.minidom.parse(str(picture))
        assert not RAW & set(picture.read_text())


def test_safe() -> None:
    assert safe("plain é 😀") == "plain é 😀"
    assert not RAW & set(safe(EVIL))
    assert json.loads(safe_json({EVIL: [EVIL]})) == {EVIL: [EVIL]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        safe_json(float("nan"))


def test_one_place_prints() -> None:
    """Nothing else calls `print` or `click.echo`, or writes to stdout or stderr."""
    found: list[str] = []
    for path in sorted((*ROOT.glob("shapeflow/**/*.py"), *ROOT.glob("backends/**/*.py"))):
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}:{call.lineno}" for call in calls if ast.unparse(call.func) in PRINTS]
    assert {place.partition(":")[0] for place in found} <= PRINTERS, found


def run(words: str, folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **more.pop("variables", {})}
    return subprocess.run(
        [sys.executable, "-m", "shapeflow", *words.split()],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **more,
    )


WORDS = ["compile x.shape", "show p.json", "show --json p.json", "explain", "--help", "compile --help", "--version"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, TWO_LAWS).rename(tmp_path / "x.shape")
    plan_json.save(attrs.evolve(compiled(tmp_path, BY_HAND)), tmp_path / "p.json")
    return tmp_path


@full
@pytest.mark.parametrize("words", WORDS)
def test_a_full_stdout(words: str, folder: Path) -> None:
    with Path("/dev/full").open("w") as stdout:
        done = run(words, folder, stdout=stdout)
    assert done.returncode == 1
    assert done.stderr.startswith("error[cannot-write]: the output cannot be written")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", WORDS)
def test_a_closed_pipe_is_no_error(words: str, folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run(words, folder, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]


@pytest.mark.parametrize("variables", ASCII, ids=["encoding", "locale"])
@pytest.mark.parametrize("words", ["show", "show --json", "simulate"])
def test_an_ascii_stdout(words: str, variables: dict[str, str], tmp_path: Path) -> None:
    evil_plan(tmp_path)
    done = run(f"{words} evil.json", tmp_path, stdout=subprocess.PIPE, variables=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    if "--json" in words:
        assert json.loads(done.stdout)["notes"] == [EVIL]


@full
def test_a_full_stderr_changes_no_exit_code(folder: Path) -> None:
    for words, code in (("compile x.shape", 0), ("compile missing.shape", 1)):
        with Path("/dev/full").open("w") as stderr:
            done = subprocess.run(
                [sys.executable, "-m", "shapeflow", *words.split()],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                check=False,
            )
        assert done.returncode == code


def test_a_stdout_that_was_closed_before(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m shapeflow compile x.shape >&-"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
