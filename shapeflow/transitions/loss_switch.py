"""Loss: the objective of a step. Parameters do not change."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, Swap
from shapeflow.ir.parameters import Model, Preserves


@attrs.frozen
class LossSwitch(TransitionHooks):
    """Moves along `loss`, in both directions: after a switch, training minimises a different objective. Weights and
    their average do not change, so the model's function is the same; only the value of the loss differs.

    The optimizer's moments are kept, or reset (`moments: reset`). On a small image set, neither made the held-out error
    jump. A hard switch is the default. `blend: 25%` makes it gradual: over the last quarter of the stage before the
    switch, the share of steps with the next loss rises to 20%, 40%, 60% and 80% of the steps that previews on other
    axes do not use. On average this is a mixture with a rising weight. Each step has the cost of its own loss."""

    axis: ClassVar[str] = "loss"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "exact"
    average: ClassVar[Literal["map", "restart"]] = "map"

    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    blend: float = setting(
        "ratio", default=0.0, low=0.0, high=1.0, help="last part of a stage over which the next loss takes over"
    )
    preview: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the next loss")
    preview_from: float = setting("ratio", default=0.75, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last loss")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("loss", str(shape["loss"])),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        return self.reading(model, after)
