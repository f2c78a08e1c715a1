"""The share of held-out images that get the wrong class."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.ir.components import MetricHooks


@attrs.frozen
class ClassificationError(MetricHooks):
    """The share of held-out images whose most likely class is wrong, 0 to 1."""

    data: ClassVar[str] = "images"
    unit: ClassVar[str] = "share"
    own: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return "classification_error"
