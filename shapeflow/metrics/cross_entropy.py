"""The cross-entropy of held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from shapeflow.ir.components import MetricHooks
from shapeflow.metrics.cautions import RESOLUTION


@attrs.frozen
class HeldOutCrossEntropy(MetricHooks):
    """Cross-entropy of held-out labels in nats, without label smoothing."""

    data: ClassVar[str] = "images"
    unit: ClassVar[str] = "nats"
    cautions: ClassVar[Mapping[str, str]] = RESOLUTION

    @property
    def key(self) -> str:
        return "cross_entropy"
