"""The error of a linear classifier on the features, fitted to a few images of each class."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import MetricHooks


@attrs.frozen
class FewshotError(MetricHooks):
    """The error on held-out images, 0 to 1, of a ridge regression (alpha 1e-2, one-hot targets) fitted to the features
    of `shots` training images of each class (Anagnostidis et al. 2024, section 3). The protocol of big_vision is
    different."""

    data: ClassVar[str] = "images"
    unit: ClassVar[str] = "share"
    own: ClassVar[bool] = True

    shots: int = setting(default=10, low=1, help="training images of each class")

    @property
    def key(self) -> str:
        return f"fewshot_error@{self.shots}"
