"""The seconds of steps and switches as the compiler uses them, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape

SHORTEST, LONGEST = 1e-9, 1e9
"""Seconds beyond which a time is not that of a step: sums of them would not be exact."""

Origin = Literal["measured", "stated"]
"""Where the seconds of a step come from: a profile of `shapeflow profile`, or a table that somebody wrote."""


@attrs.frozen
class Timing:
    """The seconds of steps in shapes, and of switches between them."""

    origin: Origin
    steps: Mapping[Shape, float]
    """Of a training step in each shape."""
    devices: int = 1
    """Number of devices that share a step."""
    evaluations: Mapping[Shape, float] = attrs.field(factory=dict)
    """Of an evaluation on all held-out data; empty if they are not known."""
    switches: Mapping[tuple[Shape, Shape], float] = attrs.field(factory=dict)
    """Of a switch, and of its first steps more than of later ones; empty if no switch was timed."""
    checkpoint: float | None = None
    """Of saving a checkpoint; None if it was not timed."""

    def switch(self, before: Shape, after: Shape) -> float:
        """Seconds of a switch. One that was not timed takes as long as the longest that was."""
        known = self.switches.get((before, after))
        return max(self.switches.values(), default=0.0) if known is None else known

    def origin_of(self, shape: Shape) -> Origin | None:
        """Where the seconds of a shape come from; None if they are not known."""
        return self.origin if shape in self.steps else None
