"""AdamW with a linear warm-up, and averaged weights for evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.parameters import Growth, Parameter


@attrs.frozen
class Adamw:
    """AdamW (Loshchilov and Hutter 2019): linear warm-up, then a constant learning rate unless the file has a
    `schedule` or a `cooldown`; gradients clipped by norm.

    The learning rate of a step is the product of `lr`, its warm-up, the factor of the stage's shape, the warm-up after
    a switch, and the schedule or cooldown; `shapeflow compile` shows the factors that are not 1.

    Held-out values are measured on an exponential average of the weights with a horizon of `average` steps. Early in a
    run it spans about a tenth of the steps so far, so that it follows the weights closely. It removes the jitter of a
    constant learning rate. Weight decay acts on matrices only."""

    lr: float = setting(default=1e-3, above=0.0, help="learning rate after the warm-up, in the shape it was tuned for")
    weight_decay: float = setting(default=0.0, low=0.0, help="decoupled weight decay")
    beta1: float = setting(default=0.9, low=0.0, high=0.9999, help="decay of the first moment")
    beta2: float = setting(default=0.95, low=0.0, high=0.99999, help="decay of the second moment")
    eps: float = setting(default=1e-8, above=0.0, help="added to the root of the second moment")
    warmup: int = setting("steps", default=100, low=0, help="linear warm-up of the learning rate")
    clip: float = setting(default=1.0, above=0.0, help="largest norm of the gradient")
    average: int = setting("steps", default=200, low=1, help="horizon of the averaged weights")

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        """The state of every parameter, with the names of torch."""
        return {"step": "count", "exp_avg": "gradient", "exp_avg_sq": "squared"}

    def decays(self, memory: float) -> Mapping[str, float]:
        """`beta2` raised to the power `memory`, for a step that counts as `memory` steps."""
        return {"beta2": self.beta2**memory}
