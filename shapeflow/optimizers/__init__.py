"""How gradients become updates."""

from shapeflow.optimizers.adamw import Adamw

COMPONENTS = (Adamw,)
