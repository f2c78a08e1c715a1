"""Files that commands write replace nothing but files of their own kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_seconds import PLANNED, timed

from shapeflow.cli import answer

OTHERS = {
    "log.csv": "step,loss\n1,2\n",
    "laws.json": '{"format": "shapeflow-laws", "version": 2}',
    "notes.txt": "a note",
    "page.html": "<!doctype html>\n<title>my page</title>",
    "other.shape": "seed 1\n",
    "notes.xml": '<?xml version="1.0"?><mydoc>important</mydoc>',
    "notes.csv": "run,notes\n1,precious\n",
    "notes.bin": '12345678{"a": "my notes"}',
    "comparison.json": '{"format": "shapeflow-comparison"}',
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, bytes]:
    """A plan with a profile, and files of other kinds next to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.shape").write_text(timed(tmp_path, PLANNED))
    for name, text in OTHERS.items():
        (tmp_path / name).write_text(text)
    assert answer(["compile", "a.shape", "-o", "plan.json"]) == 0
    return {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (["report", "a.shape", "-o"], set()),
        (["report", "plan.json", "-o"], set()),
        (["compile", "a.shape", "-o"], {"plan.json"}),
        (["profile", "a.shape", "-o"], {"p.json"}),
        (["fit", "a.shape", "-o"], {"laws.json"}),
        (["simulate", "a.shape", "--plot"], set()),
        (["fit", "a.shape", "--plot"], set()),
        (["sweep", "a.shape", "--csv"], set()),
        (["export", "run", "-o"], set()),
        (["frontier", "a.shape", "--plot"], set()),
        (["phases", "a.shape", "--plot"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_replaces_no_file_of_another_kind(
    command: list[str], own: set[str], files: dict[Path, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in files:
        if path.name in own:
            continue
        assert answer([*command, path.name]) == 2, path.name
        said = " ".join(capsys.readouterr().err.split())
        assert "exists and is not a" in said, path.name
    assert {path: path.read_bytes() for path in files} == files


def test_a_file_of_the_same_kind_is_replaced(files: dict[Path, bytes]) -> None:
    folder = next(iter(files)).parent
    (folder / "empty.html").touch()
    for command in (
        ["compile", "a.shape", "-o", "plan.json"],
        ["report", "a.shape", "-o", "report.html"],
        ["report", "plan.json", "-o", "report.html"],
        ["report", "plan.json", "-o", "empty.html"],
        ["simulate", "a.shape", "--plot", "plot.svg"],
        ["simulate", "plan.json", "--plot", "plot.svg"],
        ["simulate", "a.shape", "--plot", "plot.png"],
        ["simulate", "plan.json", "--plot", "plot.png"],
    ):
        assert answer(command) == 0, command


@pytest.mark.parametrize("kind", ["png", "pdf", "svg", "svgz", "jpg", "webp", "eps", "ps", "tif"])
def test_a_picture_of_any_kind_is_drawn_again(kind: str, files: dict[Path, bytes]) -> None:
    for _ in range(2):
        assert answer(["simulate", "plan.json", "--plot", f"plot.{kind}"]) in (0, 1)
    assert (next(iter(files)).parent / f"plot.{kind}").exists() == (kind in PICTURES)


PICTURES = {"png", "pdf", "svg", "svgz", "jpg", "webp", "eps", "ps", "tif"}
"""Kinds that matplotlib writes."""
