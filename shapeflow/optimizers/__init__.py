"""How gradients become updates."""

from shapeflow.ir.components import Optimizer
from shapeflow.optimizers.adamw import Adamw

COMPONENTS: tuple[type[Optimizer], ...] = (Adamw,)
