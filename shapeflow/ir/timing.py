"""The seconds of steps and switches as the compiler uses them, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.roofline import Roofline, roofline

SHORTEST, LONGEST = 1e-9, 1e9
"""Seconds beyond which a time is not that of a step: sums of them would not be exact."""

Origin = Literal["measured", "stated", "interpolated"]
"""Where the seconds of a step come from: a profile of `shapeflow profile`, a table that somebody wrote, or a line over
the FLOPs of the other shapes."""


@attrs.frozen
class Timing:
    """The seconds of steps in shapes, and of switches between them."""

    origin: Literal["measured", "stated"]
    """Where the seconds come from, those that are interpolated excepted."""
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
    interpolated: frozenset[Shape] = frozenset()
    """Shapes whose seconds are those of `line`."""
    line: Roofline | None = None
    machine: str = ""
    """Where the steps were timed, in words; empty if they were not."""
    sha256: str = ""
    """Digest of the file."""

    def switch(self, before: Shape, after: Shape) -> float:
        """Seconds of a switch. One that was not timed takes as long as the longest that was."""
        known = self.switches.get((before, after))
        return max(self.switches.values(), default=0.0) if known is None else known

    def origin_of(self, shape: Shape) -> Origin | None:
        """Where the seconds of a shape come from; None if they are not known."""
        if shape in self.interpolated:
            return "interpolated"
        return self.origin if shape in self.steps else None

    def completed(self, costs: Mapping[Shape, float]) -> Timing:
        """The timing with seconds of all shapes of `costs`, which has the FLOPs of a step in each: those that it lacks
        are interpolated. Unchanged if the seconds of too few of these shapes are known."""
        known = [(cost, self.steps[shape]) for shape, cost in costs.items() if shape in self.steps]
        missing = costs.keys() - self.steps.keys()
        line = roofline(known) if missing else None
        if line is None:
            return self
        found = {shape: min(max(line.seconds(costs[shape]), SHORTEST), LONGEST) for shape in missing}
        return attrs.evolve(self, steps={**self.steps, **found}, interpolated=frozenset(found), line=line)
