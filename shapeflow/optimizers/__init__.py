"""Optimizers: the rules that turn gradients into updates."""

from shapeflow.ir.components import Optimizer
from shapeflow.optimizers.adamw import Adamw
from shapeflow.optimizers.muon import Muon
from shapeflow.optimizers.sgd import Sgd

COMPONENTS: tuple[type[Optimizer], ...] = (Adamw, Muon, Sgd)
