"""What a tracker is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs


@attrs.frozen
class About:
    """What a tracker gets to know of a run."""

    name: str
    folder: Path
    """The run's folder. A tracker of local files writes into its folder `tracking`."""
    config: Mapping[str, Any]
    """What the plan states: numbers and texts by name, such as `model.width`."""
    step: int
    """Steps done when the run begins; above 0 if it was resumed."""
    identity: str | None
    """What `begin` returned when the run was tracked before; None if it was not."""


class Tracker(Protocol):
    """Sends the values of one run somewhere. Any call may raise: the tracker is then dropped, and the run goes on."""

    def begin(self, about: About) -> str | None:
        """Begin or continue a run. Returns what identifies the run when it is resumed, if the tracker needs that."""
        ...

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log finite values by name. `step`: the number of steps done."""

    def note(self, text: str, step: int) -> None:
        """Log a text, such as that a stage begins."""

    def end(self, finished: bool) -> None:
        """End the run. `finished`: whether it got to the end of its plan; False if it can be resumed."""
