"""Your own images: a folder with a sub-folder of image files for each class."""

from __future__ import annotations

from typing import Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Endings of image files; others are left alone, as are names that begin with a dot."""


@attrs.frozen
class ImageFolder(DataHooks):
    """A folder of images: each sub-folder is a class, numbered in the order of their names, and all image files in it
    and below are its images.

    Compiling reads no data, so `classes` says how many sub-folders there are, and `samples`, where epochs are to be
    counted, how many images train; both are compared with the folder when a run begins.
    Every image is brought to `image` pixels once: its shorter side is resized (bilinear, antialiased) and its middle
    cut out, or the whole is stretched. All are then kept in memory as bytes, 3 a pixel, or 1 where they are grey. With
    `cache` they are also written to a file in that folder, from which the next run takes them while the images are the
    same. Of each class the same `held_out` share is held out, drawn once and for all.
    Training images are mirrored at random (`mirror`), and random squares of them enlarged, whose side is at least
    `crop` of the whole: a change of patch size or resolution is then less of a surprise.
    Paths are relative to the `.shape` file (or to the plan, where a plan is run without its source)."""

    path: str = setting(first=True, help="the folder that holds a sub-folder for each class")
    classes: int = setting(low=2, help="number of sub-folders")
    batch: int = setting("samples", "number", default=64, low=1, help="images of one step")
    image: int = setting("length", default=64, low=1, high=4096, help="side that images are brought to")
    colour: Literal["rgb", "grey"] = setting(default="rgb", help="channels: three, or one of brightness")
    fit: Literal["crop", "stretch"] = setting(default="crop", help="how images that are not square become so")
    mirror: bool = setting(default=True, help="mirror every other training image")
    crop: float = setting(
        "ratio", default=1.0, above=0.0, high=1.0, help="least side of the random squares; 100%: none"
    )
    held_out: float = setting("ratio", default=0.05, above=0.0, high=0.5, help="share of each class held out")
    samples: int | None = setting("samples", "number", default=None, low=1, help="images that train; default: not said")
    cache: str | None = setting(default=None, help="a folder to keep the resized images in")

    def facts(self) -> DataFacts:
        channels = 3 if self.colour == "rgb" else 1
        return DataFacts(
            kind="images",
            image=self.image,
            channels=channels,
            classes=self.classes,
            batch=self.batch,
            samples=self.samples,
        )
