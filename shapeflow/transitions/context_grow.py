"""Context: a setting of the data, no parameter changes."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.edits import Edit, EditError, Swap
from shapeflow.parameters import DataFacts, Model, Moments, Preserves
from shapeflow.settings import setting
from shapeflow.shapes import Shape


@attrs.frozen
class ContextGrow:
    """Moves along `context`: longer or shorter sequences at the same tokens a step, positions by rotation at an
    unchanged base, so that logits at the positions both share are equal.

    The model must not learn positions. A hard switch (`preview: 0%`, paper A, section 5) makes the error jump, since
    distances appear that were never trained; a tenth of the steps in the next context from the start of a stage removes
    it. At a small scale that share mattered more than when to switch: compare with a fixed mixture, too."""

    axis: ClassVar[str] = "context"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "shared-positions"
    moments: ClassVar[Moments] = "carry"
    average: ClassVar[Literal["map", "restart"]] = "map"

    preview: float = setting("ratio", default=0.10, low=0.0, below=1.0, help="share of steps in the next context")
    preview_from: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last context")
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Nothing: no parameter depends on the context."""
        return {}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `context-needs-rope`, `tokens-per-step-not-integral`."""
        if learned := model.bearing("grid", "position"):
            message = f"`{model.kind}` learns its positions in `{learned[0].name}`: a longer context has none"
            raise EditError("context-needs-rope", message, help="use a model with rotary positions, as `transformer`")
        model.samples(after)

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("context", shape.number("context")),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        return self.reading(model, after)
