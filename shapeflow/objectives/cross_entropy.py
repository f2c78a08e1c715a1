"""Cross-entropy against class labels."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.settings import setting


@attrs.frozen
class CrossEntropy:
    """Cross-entropy of the class labels, in nats, with optional label smoothing (paper A trains with 20%)."""

    data: ClassVar[str] = "images"

    label_smoothing: float = setting("ratio", default=0.0, low=0.0, high=0.99, help="mass spread over all classes")
