"""Image transforms between the data and the model. Images are (count, channel, side, side)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shapeflow_torch.data.random import CROPS, generator

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def resized(images: Tensor, side: int | None) -> Tensor:
    """Return images resized to a side, bilinear and with antialiasing. None: return the images unchanged."""
    if side is None or side == images.shape[-1]:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def scaled(pixels: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return bytes as floats of mean 0 and standard deviation 1. `mean`, `deviation`: of each channel, for values
    from 0 to 1."""
    low, spread = (each.view(1, -1, 1, 1) for each in (mean, deviation))
    return (pixels.float() / 255 - low) / spread


def moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of each channel of byte images, for values from 0 to 1. The deviation of a
    constant channel is set to 1."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in pixels.unbind(1)]).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = counts @ values / counts.sum(1)
    variance = counts @ values.square() / counts.sum(1) - mean.square()
    return mean.float(), torch.where(variance > 1e-12, variance.clamp_min(1e-12).sqrt(), 1.0).float()


def squares(images: Tensor, seed: int, numbers: Numbers, least: float, mirror: bool) -> Tensor:
    """Return a random square crop of each image, resized to the full side.

    The relative side of a crop is uniform between `least` and 1. With `mirror`, each crop is mirrored with probability
    1/2. All draws depend on (seed, number of the sample in the run)."""
    drawn = torch.from_numpy(np.stack([generator(seed, CROPS, int(number)).random(4) for number in numbers])).float()
    size = least + (1 - least) * drawn[:, 0]
    # Coordinates run from -1 to 1: a square of relative side s has its centre between s - 1 and 1 - s.
    down, right = ((1 - size) * (2 * drawn[:, axis] - 1) for axis in (1, 2))
    across = torch.where(drawn[:, 3] < 0.5, -size, size) if mirror else size
    if least == 1:
        return torch.where((across < 0).to(images.device)[:, None, None, None], images.flip(-1), images)
    nil = torch.zeros_like(size)
    boxes = torch.stack((across, nil, right, nil, size, down), 1).view(-1, 2, 3).to(images)
    places = functional.affine_grid(boxes, list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=False)
