"""The list of runs that a command is going to make, which it leaves in their folder until all have ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.running.pool import Job

LISTED = ".runs.json"
"""Hidden, so that laws that are fitted to the folder do not take it for a log."""


@attrs.frozen
class Listed:
    """A run that is going to be made: the name of its folder, and its FLOPs at most."""

    name: str
    compute: float


@contextlib.contextmanager
def listing(folder: Path, jobs: Sequence[Job]) -> Iterator[None]:
    """List jobs in the folder of their runs, until the block ends without an error. Raises Refused `cannot-write`."""
    found = {job.folder.name: job.plan.compute_at(job.steps) for job in jobs if job.folder.parent == folder}
    write_text(folder / LISTED, json.dumps(found, indent=1) + "\n")
    yield
    (folder / LISTED).unlink(missing_ok=True)


def listed(folder: Path) -> tuple[Listed, ...]:
    """The runs that a command lists in a folder. One that cannot be read lists nothing."""
    try:
        found = parse_json(read_text(folder / LISTED))
    except (Refused, ValueError):
        return ()
    if not isinstance(found, dict):
        return ()
    return tuple(Listed(str(name), float(value)) for name, value in found.items() if isinstance(value, int | float))
