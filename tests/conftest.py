"""Shared pytest configuration: the `golden` fixture, bytecode caches, and a single thread for torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Golden = Callable[[Path, str], None]

# The tests start some hundred Python processes. Without cached bytecode, each of them compiles 300 files again,
# and each worker of pytest rewrites the assertions of all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files instead of comparing")
    parser.addoption("--families", type=int, default=100, help="number of random families of laws to try")


LONGEST = (
    *("torch_processes", "kill", "fork_server", "long_runs", "exact_machine", "golden_plans", "log_blocks"),
    *("log_cases", "torch_memory", "torch_checkpoint", "many_candidates", "check", "streams", "torch_surgery"),
    *("laws_fuzz", "extend", "ask", "compare", "cli", "rivals", "fuzz"),
)
"""Files that take longest. They begin first, so that no worker is left alone with one of them at the end."""


def pytest_configure(config: pytest.Config) -> None:
    # xdist would begin with the files that have the most tests, which are the shortest ones.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish(session: pytest.Session) -> None:
    # Floating-point sums depend on the number of threads. Torch is imported by now if any collected test needs it;
    # importing it here would slow down all other runs.
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """A function that compares a text with a golden file, or rewrites the file under `--update-golden`."""
    update = bool(request.config.getoption("--update-golden"))

    def check(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"{path} is missing: run pytest with --update-golden, and read what it writes"
        assert text == path.read_text(encoding="utf-8"), "refresh with --update-golden, and read the difference"

    return check
