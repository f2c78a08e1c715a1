"""Loss: what a step minimises, no parameter changes."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, Swap
from shapeflow.ir.parameters import DataFacts, Model, Preserves


@attrs.frozen
class LossSwitch(TransitionHooks):
    """Moves along `loss`, both ways: from a switch on a step minimises another objective. Weights and their average
    stay as they are, so the model's function is the same; its loss is another number, and no measure of the switch.

    The optimizer's moments are carried, or dropped and begun again (`moments: reset`). On a small image set neither
    made the held-out error jump. A hard switch is the default. `blend: 25%` makes it gradual: over the last quarter of
    the stage before, steps in the next loss come in more and more often: 20%, 40%, 60%, 80% of those that previews on
    other axes leave. On average over steps that is a mixture whose weight rises, and each step costs what its own loss
    costs."""

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
        "steps", default=None, low=0, help="rise of the learning rate behind a switch; unsaid: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Nothing: no parameter depends on the loss."""
        return {}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Every loss can follow every other."""

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("loss", str(shape["loss"])),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        return self.reading(model, after)
