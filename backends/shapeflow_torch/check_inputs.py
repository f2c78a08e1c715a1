"""Inputs for `check`: random inputs in the model's current sizes, or a small sample of the plan's own data."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import Floats
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.random_features import deviations
from shapeflow_torch.data import Data
from shapeflow_torch.data.mixture import Corpora
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.data.random import PROBE, generator
from shapeflow_torch.data.windows import Windows

Pair = tuple[Tensor, Tensor]
"""Inputs and targets; images and vectors are float64."""


@attrs.define(eq=False)
class RandomInputs:
    """Random tokens, images or vectors that depend on the seed and the step only.

    A window at a short context is a prefix of the window at a long context. Images are the same at every resolution,
    up to resizing."""

    largest: int
    """Tokens of the longest context, or side of the largest images, that the plan uses; 0 if it sets neither."""
    ledger: Ledger | None = None
    """Current sizes of the model."""

    def batch(self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice) -> Pair:
        """Return inputs and targets, in the format of a plan's data. Raises Refused `no-such-data` if the model's
        dims do not define its input."""
        sizes = {} if self.ledger is None else _seen(self.ledger)
        numbers = generator(seed, PROBE, step)
        if size is not None and "vocabulary" in sizes:
            drawn = numbers.integers(0, sizes["vocabulary"], (samples, max(size, self.largest) + 1))
            tokens = torch.from_numpy(drawn)[part, : size + 1]
            return tokens[:, :-1], tokens[:, 1:]
        vectors = None if self.ledger is None else _vectors(self.ledger)
        if vectors is not None:
            made = torch.from_numpy(vectors * numbers.standard_normal((samples, len(vectors))))[part]
            return made, made.sum(1)
        if not {"channel", "patch", "grid", "classes"} <= sizes.keys():
            message = "the model's dims do not define its input, so no random input can be made"
            help_ = "use `shapeflow check --data`, which reads the plan's own data"
            raise Refused(Diagnostic("no-such-data", message, place="data", help=help_))
        side = sizes["patch"] * sizes["grid"]
        largest = max(side, self.largest)
        images = torch.from_numpy(numbers.standard_normal((samples, sizes["channel"], largest, largest)))
        classes = torch.from_numpy(numbers.integers(0, sizes["classes"], samples))
        return resized(images[part], side), classes[part]


@attrs.define(eq=False)
class DataInputs:
    """A sample of the plan's own data. As in `RandomInputs`, a short window is a prefix of the long one."""

    data: Data
    largest: int
    ledger: Ledger | None = None
    """Not used: the data does not depend on the model's sizes."""

    def batch(self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice) -> Pair:
        """Return inputs and targets of the plan's data, images as float64."""
        if isinstance(self.data, Windows | Corpora):
            inputs, targets = self.data.batch(seed, step, before, samples, self.largest, part)
            return inputs[:, :size], targets[:, :size]
        images, classes = self.data.batch(seed, step, before, samples, size, part)
        return images.to(torch.float64), classes


def _vectors(ledger: Ledger) -> Floats | None:
    """Return the deviation of every entry of the vectors that a model reads; None if it reads something else."""
    entries, alpha = ledger.slots.get("features"), ledger.slots.get("alpha")
    return deviations(alpha, entries) if isinstance(entries, int) and isinstance(alpha, float) else None


def _seen(ledger: Ledger) -> dict[str, int]:
    """Return the size of every dim as the forward pass reads it."""
    sizes: dict[str, int] = {}
    for name, stored in ledger.sizes.items():
        views = ledger.views[name]
        sizes |= {dim: views[dim].to if dim in views else size for dim, size in stored.items()}
    return sizes
