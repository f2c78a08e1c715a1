"""The held-out loss of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import MetricHooks


@attrs.frozen
class Loss(MetricHooks):
    """Held-out loss of the next token in nats, over the same tokens at every context.

    `own` cuts them into windows of the context that is trained at (paper A's laws are of this), `longest` into windows
    of the longest candidate, which is what one keeps. Runs always record both."""

    data: ClassVar[str] = "text"
    unit: ClassVar[str] = "nats"

    context: Literal["own", "longest"] = setting(default="own", help="the windows that held-out text is cut into")

    @property
    def cautions(self) -> Mapping[str, str]:
        """Axis -> what a reader of a plan that compares its values must know."""
        own = (
            "losses are at each shape's own context, and those of different contexts are not one measure: "
            "what is kept is the loss at the longest, and `shapeflow compare` measures it"
        )
        return {"context": own} if self.context == "own" else {}

    @property
    def key(self) -> str:
        return f"loss@{self.context}"
