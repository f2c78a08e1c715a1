"""A run in a folder, as every process of it knows it."""

from __future__ import annotations

from pathlib import Path

import attrs

from shapeflow.running.launchers import Launch
from shapeflow.running.options import Options


@attrs.frozen
class Choices:
    """Where and how a plan is run. They are the same in every process."""

    folder: Path
    options: Options
    launch: Launch | None = None
    """What may restart the run, which then goes on; None: nothing does."""
