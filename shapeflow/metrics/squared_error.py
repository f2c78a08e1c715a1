"""The expected squared error of a prediction."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.ir.components import MetricHooks


@attrs.frozen
class HeldOutSquaredError(MetricHooks):
    """The expected squared error over all data of the distribution, without a factor 1/2."""

    data: ClassVar[str] = "vectors"
    unit: ClassVar[str] = "squared error"
    own: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return "squared_error"
