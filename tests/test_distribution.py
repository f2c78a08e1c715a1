"""The wheel and the source distribution contain the files they need and no others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {"": "shapeflow", "grammar": "shapeflow_grammar", "backends": "shapeflow_*"}
"""Source root -> the packages in it."""
COPIED = ("shapeflow", "grammar", "backends", "tests", "pyproject.toml", "README.md", "LICENSE")


@attrs.frozen
class Built:
    """The built archives and their contents."""

    wheel: Path
    files: frozenset[str]
    source_files: frozenset[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the source distribution, and the wheel from it, in a copy of the tree, since building leaves files."""
    copy, target = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy)
    call([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(copy)], copy)
    (wheel,), (archive,) = target.glob("*.whl"), target.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        files = frozenset(opened.namelist())
    with tarfile.open(archive) as packed:
        names = frozenset(member.name.partition("/")[2] for member in packed.getmembers() if member.isfile())
    return Built(wheel, files, names)


def call(command: Sequence[str], folder: Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    here = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env={**here, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> set[str]:
    """Every file of the packages, with its path in a wheel."""
    found = set()
    for root, pattern in SOURCES.items():
        for package in (ROOT / root).glob(pattern):
            for path in package.rglob("*"):
                if path.suffix in (".py", ".lark", ".json") or path.name == "py.typed":
                    found.add(path.relative_to(ROOT / root).as_posix())
    return found


def test_the_wheel_holds_what_the_folders_hold(built: Built) -> None:
    packaged = {name for name in built.files if ".dist-info/" not in name}
    assert packaged == sources()
    assert {"shapeflow_grammar/shape.lark", "shapeflow/py.typed", "shapeflow_torch/py.typed"} <= packaged


def test_every_folder_of_sources_is_a_package() -> None:
    """A folder without `__init__.py` would be missing from the wheel, so imports would fail only once installed."""
    folders = {Path(name).parent.as_posix() for name in sources()}
    assert {folder for folder in folders if f"{folder}/__init__.py" not in sources()} == set()


def test_site_packages_get_no_generic_names(built: Built) -> None:
    tops = {name.partition("/")[0] for name in built.files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "shapeflow",
        "shapeflow_exact",
        "shapeflow_grammar",
        "shapeflow_simulator",
        "shapeflow_torch",
    }
    assert len(tops) == 6


def test_the_source_distribution_can_be_built_and_read(built: Built) -> None:
    assert {"LICENSE", "README.md", "pyproject.toml", "grammar/shapeflow_grammar/shape.lark"} <= built.source_files
    places = {Path(root, name).as_posix() for root, name in ((root_of(name), name) for name in sources())}
    assert places <= built.source_files


def root_of(name: str) -> str:
    top = name.partition("/")[0]
    return next(root for root, pattern in SOURCES.items() if Path(top).match(pattern) and (ROOT / root / top).is_dir())


def test_the_wheel_brings_its_licence_and_its_entry_points(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as opened:
        texts = {Path(name).name: opened.read(name).decode() for name in built.files if ".dist-info/" in name}
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    lines = texts["entry_points.txt"].splitlines()
    assert "shapeflow = shapeflow.__main__:main" in lines
    assert "torch = shapeflow_torch:TorchBackend" in lines
    assert "simulator = shapeflow_simulator:Simulator" in lines


def test_the_installed_wheel_works_on_its_own(built: Built, tmp_path: Path) -> None:
    """The wheel runs outside the working tree, and its modules are imported from where it was installed."""
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(target)]
    call([*pip, "--disable-pip-version-check", "--no-compile", str(built.wheel)], tmp_path)
    where = "import shapeflow, shapeflow_grammar; print(shapeflow.__file__, shapeflow_grammar.__file__, sep='\\n')"
    printed = call([sys.executable, "-c", where], tmp_path, PYTHONPATH=str(target))
    assert all(Path(line).is_relative_to(target) for line in printed.splitlines())
    text = "import shapeflow_grammar; print(shapeflow_grammar.text())"
    grammar = call([sys.executable, "-c", text], tmp_path, PYTHONPATH=str(target))
    assert grammar.strip() == (ROOT / "grammar/shapeflow_grammar/shape.lark").read_text(encoding="utf-8").strip()
    shutil.copy(ROOT / "examples/laws_only.shape", tmp_path)
    for command in ("compile", "simulate"):
        shown = call([sys.executable, "-m", "shapeflow", command, "laws_only.shape"], tmp_path, PYTHONPATH=str(target))
        assert shown.startswith("yes, if each switch keeps 100%")
    assert not list(target.rglob("torch"))
