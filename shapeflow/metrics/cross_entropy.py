"""The cross-entropy of held-out images."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.ir.components import MetricHooks


@attrs.frozen
class HeldOutCrossEntropy(MetricHooks):
    """Cross-entropy of held-out labels in nats, without label smoothing."""

    data: ClassVar[str] = "images"
    unit: ClassVar[str] = "nats"
    own: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return "cross_entropy"
