"""The held-out loss of a language model."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import MetricHooks


@attrs.frozen
class Loss(MetricHooks):
    """Held-out loss of the next token, in nats or in the unit of logs, over the same tokens at every context.

    `own` evaluates in windows of the current training context, as in Anagnostidis et al. 2024; `longest` in windows of
    the longest candidate context, at which the model is used. Runs always record both, in nats: a plan in another
    `unit` is made from logs, and carried out by another trainer."""

    data: ClassVar[str] = "text"

    context: Literal["own", "longest"] = setting(default="own", help="the windows that held-out text is cut into")
    unit: Literal["nats", "bits_per_token", "bits_per_byte", "bits_per_character"] = setting(
        default="nats", omitted=True, help="the unit of the losses: that of the logs, and of all errors of the file"
    )

    @property
    def own(self) -> bool:
        return self.context == "own"

    @property
    def key(self) -> str:
        return f"loss@{self.context}" + ("" if self.unit == "nats" else f":{self.unit}")
