"""What a fit found: laws, and the points behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.laws.logs.points import Points


@attrs.frozen(eq=False)
class FittedLaws:
    """The laws of one fit, in the candidates' order, and what they were fitted to."""

    laws: Mapping[Shape, Law] = attrs.field(factory=dict)
    """Empty after errors were reported."""
    points: Mapping[Shape, Points] = attrs.field(factory=dict)
    """What each law was fitted to."""
    halves: Mapping[Shape, Law] = attrs.field(factory=dict)
    """The law of the first half of log compute, which foretells the rest: its provenance says where that half ends.
    Empty where no part was held out."""
    method: Mapping[str, Any] = attrs.field(factory=dict)
    """What was minimised, over what, and how the winner was chosen, as JSON values."""
    summary: str = ""
    """The same in a few words, for the screen."""

    def __attrs_post_init__(self) -> None:
        if without := [shape for shape in self.laws if shape not in self.points]:
            raise ValueError(f"laws without the points that they were fitted to: {without}")
