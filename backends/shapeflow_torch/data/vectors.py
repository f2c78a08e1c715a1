"""Gaussian vectors and a linear target. Every step draws its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shapeflow_torch.data.random import VECTORS, generator


class Vectors:
    """Vectors x with independent normal entries, and targets <x, b>.

    Sample n of a run, counted over all its steps, depends on the run's seed and n alone: neither on the number of
    processes nor on changes of the batch."""

    def __init__(self, deviations: Tensor, target: Tensor, about: Mapping[str, Any], device: torch.device) -> None:
        """`deviations`, `target`: standard deviation and coefficient of each entry, (features,), float64."""
        self._deviations, self._target = deviations, target
        self._about, self._device = dict(about), device

    def describe(self) -> dict[str, Any]:
        """Return a description of the data for the run's `data.json`."""
        return dict(self._about)

    def batch(
        self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Return vectors (samples, features) and targets (samples,) of a step. `before`: number of samples in all
        earlier steps; `part`: the samples of the step that this process takes."""
        del step, size
        numbers = range(before, before + samples)[part]
        drawn = [generator(seed, VECTORS, number).standard_normal(len(self._target)) for number in numbers]
        vectors = torch.stack([torch.from_numpy(one) for one in drawn]) * self._deviations
        return vectors.float().to(self._device), (vectors @ self._target).float().to(self._device)

    def expected(self, coefficients: Tensor) -> float:
        """Return the expected squared error of the prediction <x, coefficients>, exactly."""
        missed = self._deviations * (coefficients.to(self._target) - self._target)
        return float(missed @ missed)
