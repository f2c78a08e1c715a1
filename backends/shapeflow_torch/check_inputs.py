"""Data for looking at a model: random, in the sizes that it reads at present, or a little of the plan's own."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.ledger import Ledger
from shapeflow_torch.data import Data
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.data.random import PROBE, generator
from shapeflow_torch.data.windows import Windows

Pair = tuple[Tensor, Tensor]
"""Inputs and targets; images are float64."""


@attrs.define(eq=False)
class RandomInputs:
    """Random tokens or images, drawn for the step alone. Windows of a step begin alike at every context, so that the
    positions of a short one are those of a long one; images are the same ones at every resolution."""

    largest: int
    """Tokens of the longest context, or side of the largest images, that will be asked for; 0: none is."""
    ledger: Ledger | None = None
    """What the model is at present."""

    def batch(self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice) -> Pair:
        """As a plan's data gives it. Raises Refused `no-such-data` where the model's dims do not say what it reads."""
        sizes = {} if self.ledger is None else _seen(self.ledger)
        numbers = generator(seed, PROBE, step)
        if size is not None and "vocabulary" in sizes:
            drawn = numbers.integers(0, sizes["vocabulary"], (samples, max(size, self.largest) + 1))
            tokens = torch.from_numpy(drawn)[part, : size + 1]
            return tokens[:, :-1], tokens[:, 1:]
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
    """A little of the plan's own data, windows beginning alike as those of a `RandomInputs`."""

    data: Data
    largest: int
    ledger: Ledger | None = None
    """Not asked for: the data is what it is."""

    def batch(self, seed: int, step: int, before: int, samples: int, size: int | None, part: slice) -> Pair:
        """As the plan's data gives it."""
        if isinstance(self.data, Windows):
            inputs, targets = self.data.batch(seed, step, before, samples, self.largest, part)
            return inputs[:, :size], targets[:, :size]
        images, classes = self.data.batch(seed, step, before, samples, size, part)
        return images.to(torch.float64), classes


def _seen(ledger: Ledger) -> dict[str, int]:
    """Size of every dim as the forward pass reads it."""
    sizes: dict[str, int] = {}
    for name, stored in ledger.sizes.items():
        views = ledger.views[name]
        sizes |= {dim: views[dim].to if dim in views else size for dim, size in stored.items()}
    return sizes
