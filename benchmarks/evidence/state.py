"""The state of the kit in `evidence.json`: which pieces are finished, what they measured, and on what device."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import attrs

from shapeflow.base.files import write_text

FILE = "evidence.json"
FORMAT = 1

Status = Literal["not started", "unfinished", "finished", "failed"]


@attrs.frozen
class Call:
    """One call that worked on a piece: when, on what, for how long, and its command line."""

    date: str
    device: str
    torch: str
    command: str
    seconds: float = 0.0


@attrs.frozen
class Found:
    """A piece: how far it is, its result, and the calls that made it. `reason`: why it failed."""

    status: Status = "not started"
    result: Mapping[str, Any] = attrs.field(factory=dict)
    calls: tuple[Call, ...] = ()
    reason: str | None = None


@attrs.frozen
class State:
    """All pieces by name, and the settings that all calls must share."""

    settings: Mapping[str, Any]
    pieces: Mapping[str, Found]

    def with_piece(self, name: str, found: Found) -> State:
        return attrs.evolve(self, pieces={**self.pieces, name: found})

    def left(self) -> list[str]:
        """The pieces that are neither finished nor failed, in order."""
        return [name for name, found in self.pieces.items() if found.status in ("not started", "unfinished")]


class OtherSettings(Exception):  # noqa: N818 - reported, not a bug
    """The folder holds evidence of other settings, or a file that is not evidence."""


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def load(folder: Path, settings: Mapping[str, Any], names: Iterable[str]) -> State:
    """The state in a folder; a new one if there is none. Raises OtherSettings."""
    path = folder / FILE
    fresh = {name: Found() for name in names}
    if not path.exists():
        return State(settings, fresh)
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        if whole["format"] != FORMAT:
            raise OtherSettings(f"{path} has format {whole['format']}, this kit writes {FORMAT}")
        found = {name: _found(each) for name, each in whole["pieces"].items()}
        before = whole["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise OtherSettings(f"{path} is not a file of this kit: {error}") from None
    if before != settings:
        raise OtherSettings(f"{path} was made with {before}, this call has {dict(settings)}: use another --out")
    return State(settings, {**fresh, **found})


def save(state: State, folder: Path) -> None:
    """Write the state atomically."""
    whole = {"format": FORMAT, **attrs.asdict(state)}
    write_text(folder / FILE, json.dumps(whole, indent=1) + "\n")


def _found(each: dict[str, Any]) -> Found:
    return Found(**{**each, "calls": tuple(Call(**call) for call in each["calls"])})
