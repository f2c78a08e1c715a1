"""The result of a fit: laws, and the points that they were fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.joint import JointLaw
from shapeflow.ir.law import Law
from shapeflow.ir.mixture import MixtureLaw
from shapeflow.laws.logs.points import Points


@attrs.frozen(eq=False)
class FittedLaws:
    """The laws of one fit in the order of the candidates, and the points that they were fitted to."""

    laws: Mapping[Shape, Law] = attrs.field(factory=dict)
    """Empty after an error."""
    points: Mapping[Shape, Points] = attrs.field(factory=dict)
    """The points that each law was fitted to."""
    halves: Mapping[Shape, Law] = attrs.field(factory=dict)
    """The law of the first half of log compute, which predicts the second half. Its provenance states where the first
    half ends. Of ends: the law of the shorter runs. Without an entry for shapes with too few points to hold out a
    part."""
    method: Mapping[str, Any] = attrs.field(factory=dict)
    """The objective, the parameters, the points and the optimiser of the fit, as JSON values."""
    summary: str = ""
    """A short text of the method for the screen."""
    held_out: str = (
        "the later half of log compute, predicted by a fit to the first half: its mean error, and the predicted over "
        "the actual compute of the final losses"
    )
    """What the laws were tested on, for the screen."""
    joint: JointLaw | None = None
    """The joint law of all sizes, if the laws come from one."""
    sizes: Mapping[Shape, float] = attrs.field(factory=dict)
    """The number of parameters of each shape, for a joint law."""
    mixture: MixtureLaw | None = None
    """The law of mixtures, for a source that fits one instead of a law for each candidate."""

    def __attrs_post_init__(self) -> None:
        if without := [shape for shape in self.laws if shape not in self.points]:
            raise ValueError(f"laws without the points that they were fitted to: {without}")
