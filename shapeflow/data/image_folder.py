"""Your own images: a folder with a sub-folder of image files for each class."""

from __future__ import annotations

from typing import Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Extensions of image files. Other files, and names that begin with a dot, are ignored."""


@attrs.frozen
class ImageFolder(DataHooks):
    """A folder of images: each sub-folder is a class, numbered in alphabetical order, with all image files in it and
    below.

    Compiling does not read the data, so set `classes` to the number of sub-folders and, to count in epochs, `samples`
    to the number of training images; both are compared with the folder when a run begins.
    Every image is resized to `image` pixels once: its shorter side is resized (bilinear, antialiased) and its centre
    cropped, or the whole image is stretched. All images are kept in memory as bytes, 3 per pixel, or 1 if grey. With
    `cache` they are also written to a file in that folder, which later runs read as long as the images are the same.
    A fixed share `held_out` of each class is held out.
    Training images are mirrored at random (`mirror`) and cropped to random squares with a side of at least `crop` of
    the image, resized to its full size. Such crops reduce the jump of the error when patch size or resolution change.
    Paths are relative to the `.shape` file (or to the plan, if a plan is run without its source)."""

    path: str = setting(first=True, help="the folder that contains a sub-folder for each class")
    classes: int = setting(low=2, help="number of sub-folders")
    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")
    image: int = setting("length", default=64, low=1, high=4096, help="side that images are resized to")
    colour: Literal["rgb", "grey"] = setting(default="rgb", help="channels: red, green and blue, or brightness")
    fit: Literal["crop", "stretch"] = setting(default="crop", help="how images are made square")
    mirror: bool = setting(default=True, help="mirror half of the training images at random")
    crop: float = setting(
        "ratio", default=1.0, above=0.0, high=1.0, help="least side of the random crops; 100%: no crop"
    )
    held_out: float = setting("ratio", default=0.05, above=0.0, high=0.5, help="share of each class held out")
    samples: int | None = setting(
        "samples", "number", default=None, low=1, help="number of training images; default: unknown"
    )
    cache: str | None = setting(default=None, help="a folder to keep the resized images in")

    def facts(self) -> DataFacts:
        channels = 3 if self.colour == "rgb" else 1
        share = self.held_out / (1 - self.held_out)
        held_out = None if self.samples is None else round(self.samples * share)
        return DataFacts(
            kind="images",
            image=self.image,
            channels=channels,
            classes=self.classes,
            batch=self.batch,
            samples=self.samples,
            held_out=held_out,
        )
