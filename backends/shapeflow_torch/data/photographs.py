"""Images stored as bytes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shapeflow_torch.data.images import Images
from shapeflow_torch.data.pixels import moments, scaled, squares


def photographs(
    training: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    about: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: torch.device,
) -> Images:
    """Return images stored as bytes, which are scaled by the mean and standard deviation of the training images.
    `settings`: `crop` and `mirror` define the augmentation."""
    mean, deviation = moments(training[0])
    augment = functools.partial(squares, least=float(settings["crop"]), mirror=bool(settings["mirror"]))
    none = settings["crop"] == 1 and not settings["mirror"]
    scale = functools.partial(scaled, mean=mean.to(device), deviation=deviation.to(device))
    return Images(training, held_out, about, device, None if none else augment, prepare=scale)
