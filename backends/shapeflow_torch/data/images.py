"""Images as one tensor, read in shuffled epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.memory import HELD_OUT_IMAGES
from shapeflow_torch.data.held_out import too_little
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.data.random import EPOCHS, HELD_OUT, SHOTS, generator

Prepare = Callable[[Tensor], Tensor]
"""Converts stored images to floats of approximately mean 0 and standard deviation 1."""

Augment = Callable[[Tensor, int, np.ndarray[Any, np.dtype[np.int64]]], Tensor]
"""Maps (images, seed, number of each sample in the run) to augmented images."""


class Images:
    """Training and held-out images (count, channel, side, side), floats or bytes, and their classes.

    Sample n of a run, counted over all its steps, is image n mod N of the shuffled epoch n // N, where N is the number
    of training images. Its augmentation is drawn from n. Neither depends on the number of processes or on changes of
    the batch size."""

    def __init__(
        self,
        training: tuple[Tensor, Tensor],
        held_out: tuple[Tensor, Tensor],
        about: Mapping[str, Any],
        device: torch.device,
        augment: Augment | None = None,
        centre: Callable[[Tensor], Tensor] | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        """`prepare`: applied to all images when they are read; `augment`: applied to training batches after `prepare`;
        `centre`: applied to images that are not augmented, before `prepare`."""
        digest = hashlib.sha256()
        for tensor in (*training, *held_out):
            digest.update(tensor.numpy().tobytes())
        counts = {"training_images": len(training[0]), "held_out_images": len(held_out[0])}
        self._about = {**about, **counts, "sha256": digest.hexdigest()}
        self._images, self._classes = (tensor.to(device) for tensor in training)
        self._augment, self._centre, self._prepare = augment, centre or _same, prepare or _same
        self._held_out = (self._centre(held_out[0]).to(device), held_out[1].to(device))
        self._order: tuple[tuple[int, int], np.ndarray[Any, np.dtype[np.int64]]] | None = None

    def describe(self) -> dict[str, Any]:
        """Return a description of the data for the run's `data.json`."""
        return dict(self._about)

    def batch(
        self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Return images and classes of a step. `before`: number of samples in all earlier steps; `size`: side to resize
        the images to; `part`: the samples of the step that this process takes."""
        del step
        numbers = np.arange(before, before + samples, dtype=np.int64)[part]
        epochs, places = np.divmod(numbers, len(self._images))
        rows = np.concatenate([self._epoch(seed, int(e))[places[epochs == e]] for e in np.unique(epochs)])
        index = torch.from_numpy(rows).to(self._images.device)
        images = self._prepare(self._images[index])
        augmented = images if self._augment is None else self._augment(images, seed, numbers)
        return resized(augmented, size), self._classes[index]

    def hold_out(self, images: int) -> None:
        """Evaluate on this number of held-out images, drawn once and the same in every run.

        Raises Refused `too-little-held-out`."""
        pixels, classes = self._held_out
        if images > len(pixels):
            raise Refused(too_little(images, len(pixels), 1, "images"))
        rows = np.sort(generator(0, HELD_OUT, 0).permutation(len(pixels))[:images])
        index = torch.from_numpy(rows).to(pixels.device)
        self._held_out = (pixels[index], classes[index])

    def held_out(self, size: int | None, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of the held-out images and classes in batches. `size`: side to resize them to."""
        images, classes = self._held_out
        for at in range(0, len(images), HELD_OUT_IMAGES)[rank::world]:
            yield resized(self._prepare(images[at : at + HELD_OUT_IMAGES]), size), classes[at : at + HELD_OUT_IMAGES]

    def shots(self, count: int, size: int | None = None) -> tuple[Tensor, Tensor]:
        """Return `count` training images of each class, not augmented and the same in every run. `size`: side to resize
        them to."""
        order = generator(0, SHOTS, 0).permutation(len(self._images))
        classes = self._classes.cpu().numpy()[order]
        rows = np.concatenate([order[classes == each][:count] for each in np.unique(classes)])
        index = torch.from_numpy(rows).to(self._images.device)
        return resized(self._prepare(self._centre(self._images[index])), size), self._classes[index]

    def _epoch(self, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the order of images in an epoch. The last result is cached, because consecutive steps use the same
        epoch."""
        if self._order is None or self._order[0] != (seed, epoch):
            self._order = ((seed, epoch), generator(seed, EPOCHS, epoch).permutation(len(self._images)))
        return self._order[1]


def _same(images: Tensor) -> Tensor:
    return images
