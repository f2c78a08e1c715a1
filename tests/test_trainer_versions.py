"""The versions of trainers: the code, the package metadata, the pins of development and the documentation agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow_torch.adopt import trainers
from shapeflow_torch.adopt.trainers import LIBRARIES, Library, require_version

ROOT = Path(__file__).parent.parent


def test_the_extras_are_the_versions_that_the_callbacks_accept() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in {each.extra for each in LIBRARIES}:
        assert extras[extra] == [f"{each.package}{each.accepted}" for each in LIBRARIES if each.extra == extra]


def test_the_tested_versions_are_the_pinned_ones() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for each in LIBRARIES:
        assert pins[each.package] == ".".join(str(part) for part in each.tested)
        assert each.low <= each.tested < each.below


def test_the_documentation_states_them() -> None:
    text = (ROOT / "docs" / "trainers.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(>=.*)` \| ([\d.]+) \|$", text, re.MULTILINE)
    assert rows == [(each.package, each.accepted, ".".join(str(part) for part in each.tested)) for each in LIBRARIES]


def test_timm_is_stated_once() -> None:
    """Its adapter compares tensors, so no version is refused."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = extras["timm"]
    pin = re.search(r"^timm==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin is not None
    assert wanted in extras["peers"]
    stated = f"`{wanted.removeprefix('timm')}`; {pin[1]} is tested"
    assert stated in (ROOT / "docs" / "grow.md").read_text()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda each: each.package)
def test_the_ends_of_a_range(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(found: str) -> str:
        monkeypatch.setattr(trainers, "version", lambda name: found)
        try:
            require_version(library)
        except Refused as refused:
            return refused.diagnostics[0].code
        return "accepted"

    (major, minor), (end, beyond) = library.low, library.below
    assert (
        outcome(f"{major}.{minor}") == outcome(f"{major}.{minor}.9+cpu") == outcome(f"{major}.{minor}rc1") == "accepted"
    )
    assert outcome(f"{major}.{minor - 1}.9" if minor else f"{major - 1}.99") == "unsupported-version"
    assert outcome(f"{end}.{beyond}.0.dev0") == outcome(f"{end + 1}.0") == "unsupported-version"
