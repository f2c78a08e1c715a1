"""Signum: the sign of a momentum (Bernstein et al. 2018, arXiv 1802.04434)."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow import Growth, Parameter, setting


@attrs.frozen
class Signum:
    """Moves every weight by `lr` against the sign of an average of its gradients. The average follows the map of
    gradients at a switch."""

    lr: float = setting(default=1e-3, above=0.0, help="learning rate after the warm-up")
    momentum: float = setting(default=0.9, low=0.0, below=1.0, help="decay of the average of gradients")
    weight_decay: float = setting(default=0.0, low=0.0, help="decoupled weight decay")
    warmup: int = setting("steps", default=10, low=0, help="linear warm-up of the learning rate")
    clip: float = setting(default=1.0, above=0.0, help="largest norm of the gradient")
    average: int = setting("steps", default=20, low=1, help="horizon of the averaged weights")

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        return {"momentum": "gradient"}

    def decays(self, memory: float) -> Mapping[str, float]:
        return {}
