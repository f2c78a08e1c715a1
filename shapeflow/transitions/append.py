"""Width of random features: new features after the old ones, with parameters of 0."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Along, Constant, Edit, Grow
from shapeflow.ir.parameters import Model, Preserves
from shapeflow.transitions.features import widths


@attrs.frozen
class Append(TransitionHooks):
    """Moves along the `width` of `random_features`, to wider models only. New features have parameters of 0, and old
    parameters are multiplied by sqrt(new width / old width), since features of a wider model are smaller: the function
    is kept exactly.

    The progress is not. What was learned is written in the few old features, and what they distort is slow to repair in
    the wide model: equal loss is not equal state. Growing this way costs 4 to 32 times the compute of the best fixed
    width (`python benchmarks/phase_growth.py`). It is here to show that; use `project`."""

    axis: ClassVar[str] = "width"
    one_way: ClassVar[bool] = True
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0
    preserves: ClassVar[Preserves] = "exact"
    moments: ClassVar[Literal["fresh", "carry", "carry_raw", "reset"]] = "fresh"
    average: ClassVar[Literal["map", "restart"]] = "map"

    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """No edits: the stored width is read."""
        return ()

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `no-random-features`, `one-way-transition`, and the errors of the model's sizes."""
        widths("append", model, before, after)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        old, to = widths("append", model, before, after)
        grown = (Along("feature", to, Constant(0.0)),)
        return () if old == to else (Grow("theta", grown, math.sqrt(to / old)),)
