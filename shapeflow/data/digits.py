"""Hand-written digits, 8 x 8 pixels, grey, which are part of scikit-learn."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

HELD_OUT = 360
"""Of the 1,797 images, the last 360 of a fixed shuffle are held out."""


@attrs.frozen
class Digits(DataHooks):
    """1,797 hand-written digits of 8 x 8 pixels in 10 classes (UCI optdigits, as scikit-learn ships them).

    1,437 images are trained on, 360 are held out. No download is needed."""

    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")

    def facts(self) -> DataFacts:
        samples = 1797 - HELD_OUT
        return DataFacts("images", 8, channels=1, classes=10, batch=self.batch, samples=samples, held_out=HELD_OUT)
