"""Axes: the properties that may change during training, their units and their possible values."""

from shapeflow.axes.batch import Batch
from shapeflow.axes.context import Context
from shapeflow.axes.depth import Depth
from shapeflow.axes.loss import Loss
from shapeflow.axes.patch import Patch
from shapeflow.axes.resolution import Resolution
from shapeflow.axes.width import Width
from shapeflow.ir.components import Axis

COMPONENTS: tuple[type[Axis], ...] = (Batch, Context, Depth, Loss, Patch, Resolution, Width)
