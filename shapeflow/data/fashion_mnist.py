"""Fashion-MNIST from idx files, such as those of Debian's package `dataset-fashion-mnist`."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

HELD_OUT = 3_000
"""Of the 60,000 training images, the last 3,000 are held out; the test set is not used."""


@attrs.frozen
class FashionMnist(DataHooks):
    """60,000 images of clothes, 28 x 28 pixels, grey, in 10 classes (Xiao, Rasul, Vollgraf 2017; MIT licence).

    Training images are cropped at random to `image` pixels and mirrored at random; held-out images are cropped at the
    centre. 57,000 images are trained on, 3,000 are held out. On Debian: `apt-get install dataset-fashion-mnist`."""

    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")
    image: int = setting("length", default=24, low=1, high=28, help="side of the crop")
    folder: str = setting(
        default="/usr/share/datasets/fashion-mnist", help="the folder of the four idx files, gzipped or not"
    )

    def facts(self) -> DataFacts:
        return DataFacts(
            kind="images",
            image=self.image,
            channels=1,
            classes=10,
            batch=self.batch,
            samples=60_000 - HELD_OUT,
            held_out=HELD_OUT,
        )
