"""Decay of the learning rate over a whole run: a curve from 1 to a final factor, over the steps after the warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

Form = Literal["linear", "cosine"]


@attrs.frozen
class Decay:
    """A decay of the learning rate. `final` is the factor at the end of the run, from 0 to below 1."""

    form: Form
    final: float

    def at(self, progress: float) -> float:
        """The factor at a progress from 0 to 1: 1 at 0, `final` at 1."""
        return self.final + (1 - self.final) * LEFT[self.form](progress)


LEFT: Mapping[Form, Callable[[float], float]] = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}
"""Form -> the share of the decay that remains at a progress from 0 to 1. These are the curves of `LinearLR` and
`CosineAnnealingLR` in `torch.optim.lr_scheduler`."""
