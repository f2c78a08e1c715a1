"""Components of another distribution (`tests/plugin`), which is installed and found by its entry points."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from test_distribution import ROOT, call

import shapeflow

PLAN = """
plan "by a plugin"

model      transformer(depth: 1, width: 16, head_width: 8)
data       python_source(batch: 256 tokens)
objective  next_token
optimizer  signum(lr: 3e-3, warmup: 2 steps)
metric     loss
axis context in [16, 64] tokens via context_jump
traversal  zigzag
budget     8 steps
"""

COMMANDS = """
import sys
from shapeflow.cli import answer
for command in sys.argv[1:]:
    status = answer(command.split())
    print("status", status, flush=True)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the distribution is installed. It is built from a copy, since building leaves files."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "tests/plugin", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder / "site")]
    call([*pip, *alone, str(folder / "source")], folder)
    return folder / "site"


def test_an_installed_distribution_brings_components(site: Path, tmp_path: Path) -> None:
    """Explain, compile, check, simulate and train with a transition, a traversal and an optimizer of a plugin."""
    (tmp_path / "plan.shape").write_text(PLAN)
    (tmp_path / "near.shape").write_text(PLAN.replace("[16, 64]", "[16, 24]"))
    commands = [
        *("explain signum", "compile plan.shape", "compile near.shape", "check plan.shape", "simulate plan.shape"),
        "run plan.shape -o run --quiet",
    ]
    roots = [str(site), *(str(ROOT / root) for root in ("", "grammar", "backends"))]
    said = call([sys.executable, "-c", COMMANDS, *commands], tmp_path, PYTHONPATH=":".join(roots))
    assert [line for line in said.splitlines() if line.startswith("status")] == [
        f"status {status}" for status in (0, 0, 1, 0, 0, 0)
    ]
    assert "signum" in said
    assert "context_jump" in said
    assert (tmp_path / "run/checkpoints/step-000000008").is_dir()


def test_public_names_exist() -> None:
    assert sorted(shapeflow._HOMES) == sorted(shapeflow.__all__)
    assert all(getattr(shapeflow, name) is not None for name in shapeflow.__all__)


def test_the_plugin_imports_only_public_names() -> None:
    for path in (ROOT / "tests/plugin").rglob("*.py"):
        lines = [line.split() for line in path.read_text().splitlines()]
        imported = {words[1] for words in lines if words[:1] in (["from"], ["import"]) and "shapeflow" in words[1]}
        assert imported <= {"shapeflow", "shapeflow_torch", "shapeflow_plugin_example.signum"}
