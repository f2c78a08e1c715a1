"""Fashion-MNIST from idx files."""

from __future__ import annotations

import functools
import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import open_regular
from shapeflow.data.fashion_mnist import HELD_OUT
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.random import CROPS, generator
from shapeflow_torch.data.windows import missing

_HELP = "on Debian: `apt-get install dataset-fashion-mnist`; else set `folder` to where the idx files are"
_MEAN, _DEVIATION = 0.286, 0.353
"""Mean and standard deviation of the training pixels, scaled to 0 to 1."""


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Images:
    """Return 57,000 training and 3,000 held-out images (1, side, side). Raises Refused `data-missing`."""
    del contexts
    folder, side = root / settings["folder"], settings["image"]
    pixels, labels = _idx(folder, "train-images-idx3-ubyte"), _idx(folder, "train-labels-idx1-ubyte")
    if pixels.dim() != 3 or len(pixels) != len(labels) or len(pixels) <= HELD_OUT:
        raise Refused(missing(folder, f"{tuple(pixels.shape)} pixels for {tuple(labels.shape)} labels", help=_HELP))
    images = ((pixels.float() / 255 - _MEAN) / _DEVIATION)[:, None]
    classes = labels.long()
    training, held_out = (images[:-HELD_OUT], classes[:-HELD_OUT]), (images[-HELD_OUT:], classes[-HELD_OUT:])
    augment, centre = functools.partial(crop_and_mirror, side=side), functools.partial(middle, side=side)
    return Images(training, held_out, {"data": "fashion_mnist", "folder": str(folder)}, device, augment, centre)


def middle(images: Tensor, side: int) -> Tensor:
    """Return the central square of each image."""
    low = (images.shape[-1] - side) // 2
    return images[..., low : low + side, low : low + side].contiguous()


def crop_and_mirror(images: Tensor, seed: int, numbers: np.ndarray[Any, np.dtype[np.int64]], side: int) -> Tensor:
    """Return a random crop of each image, mirrored with probability 1/2. Both are drawn from (seed, number of the
    sample in the run)."""
    count, channels, whole, _ = images.shape
    drawn = np.stack([generator(seed, CROPS, int(n)).random(3) for n in numbers])
    top, left = (torch.from_numpy((drawn[:, axis] * (whole - side + 1)).astype(np.int64)) for axis in (0, 1))
    across = torch.arange(side).expand(count, side)
    across = torch.where(torch.from_numpy(drawn[:, 2] < 0.5)[:, None], side - 1 - across, across)
    rows, columns = top[:, None] + torch.arange(side), left[:, None] + across
    places = (rows[:, :, None] * whole + columns[:, None, :]).reshape(count, 1, side * side).to(images.device)
    cut = images.reshape(count, channels, whole * whole).gather(2, places.expand(-1, channels, -1))
    return cut.view(count, channels, side, side)


_MOST = 1 << 26
"""Bytes of the largest file, unpacked, and more."""


def _idx(folder: Path, name: str) -> Tensor:
    """Read an idx file, gzipped or not: a magic number with the number of axes, the big-endian sizes, then the bytes.
    Raises Refused `data-missing`."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), folder / f"{name}.gz")
    try:
        with gzip.open(open_regular(path)) if path.suffix == ".gz" else open_regular(path) as file:
            raw = file.read(_MOST)
        axes = struct.unpack(">I", raw[:4])[0] & 255
        sizes = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise Refused(missing(path, str(error), help=_HELP)) from error
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes)
    if len(body) != math.prod(sizes):
        raise Refused(missing(path, f"{len(body)} bytes, but the header announces {math.prod(sizes)}", help=_HELP))
    return torch.from_numpy(body.reshape(sizes).copy())
