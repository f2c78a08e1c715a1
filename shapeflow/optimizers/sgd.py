"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Growth, Parameter


@attrs.frozen
class Sgd:
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`; gradients are clipped by norm.

    The momentum is a sum of gradients: m = momentum * m + gradient. The update is lr * m, or lr * (gradient + momentum
    * m) with `nesterov`. Weight decay acts on matrices only and is decoupled (Loshchilov and Hutter 2019), so that the
    momentum contains only gradients. At a switch, the momentum is therefore mapped exactly as the gradient is, and new
    entries start at 0, as all entries do in the first step. All values of `moments` except `reset` have the same
    effect.

    The learning rate follows the warm-up, the stage's shape, the rise after a switch, and the schedule or cooldown.
    `width_expand(lr: mup)` and the default `lr: sqrt` of `batch_resize` are rules for Adam: with `sgd` write `lr: keep`
    for a width, and `lr: linear` for a batch. `batch_resize(beta2: samples)` adapts the averaged weights only, since
    there is no second moment. `average` is as in `adamw`."""

    lr: float = setting(default=0.1, above=0.0, help="learning rate after the warm-up, in the shape it was tuned for")
    momentum: float = setting(default=0.9, low=0.0, high=0.9999, help="decay of the momentum; 0 keeps no state")
    nesterov: bool = setting(default=False, help="look ahead along the momentum")
    weight_decay: float = setting(default=0.0, low=0.0, help="decoupled weight decay")
    warmup: int = setting("steps", default=100, low=0, help="linear warm-up of the learning rate")
    clip: float = setting(default=1.0, above=0.0, help="largest norm of the gradient")
    average: int = setting("steps", default=200, low=1, help="horizon of the averaged weights")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `idle-setting`."""
        if self.nesterov and not self.momentum:
            message, why = "`nesterov` needs a momentum", "`momentum` is 0"
            help_ = "set a momentum, such as `momentum: 0.9`, or leave `nesterov` out"
            raise EditError("idle-setting", message, why=why, help=help_, setting="nesterov")

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        """The momentum of every parameter."""
        return {"momentum_buffer": "gradient"} if self.momentum else {}

    def decays(self, memory: float) -> Mapping[str, float]:
        """Empty: there is no second moment."""
        return {}
