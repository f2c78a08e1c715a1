"""Glob patterns: the same matches as Python's `glob`, and cyclic symbolic links."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from shapeflow.laws.logs.matches import matches

FILES = ["a.csv", "runs/w10/b.csv", "runs/w9/b.csv", "runs/w9/deep/[1]/c.csv", "runs/.hidden/d.csv", "runs/e.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    ["*.csv", "runs/*", "**/*.csv", "runs/**", "runs/**/", "**", "./*/**/**/b.csv", "**/d*/**/*.csv"],
)
def test_the_matches_are_those_of_glob(folder: Path, pattern: str) -> None:
    found = matches(pattern, str(folder))
    known = glob.glob(pattern, root_dir=folder, recursive=True)
    # Python's `glob` returns a path once for each way to reach it.
    assert sorted(map(os.path.normpath, found)) == sorted(set(map(os.path.normpath, known)))


def test_an_absolute_pattern_and_the_order(folder: Path) -> None:
    names = [os.path.relpath(path, folder) for path in matches(f"{folder}/**/b.csv", "")]
    assert names == ["runs/w9/b.csv", "runs/w10/b.csv"]
    assert matches("no_folder/**", str(folder)) == []


def test_links_in_a_circle_end(folder: Path) -> None:
    """Two links to their own folder double the number of paths with each level."""
    for name in ("runs/again", "runs/and_again", "runs/w9/up"):
        (folder / name).symlink_to(folder / "runs")
    (folder / "latest").symlink_to(folder / "runs/w9")
    assert matches("**/*.csv", str(folder)) == [
        "a.csv",
        "runs/w9/deep/[1]/c.csv",
        "runs/w9/b.csv",
        "runs/w10/b.csv",
    ]


def test_files_reached_only_by_a_link_are_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "f.csv").touch()
    (folder / "runs/linked").symlink_to(other)
    assert "runs/linked/f.csv" in matches("runs/**/*.csv", str(folder))
