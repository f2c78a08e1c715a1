"""Learning-rate schedules: the course of the learning rate over the whole run, after the warm-up."""

from shapeflow.ir.components import Schedule
from shapeflow.schedules.constant import Constant
from shapeflow.schedules.cosine import Cosine
from shapeflow.schedules.linear import Linear

COMPONENTS: tuple[type[Schedule], ...] = (Constant, Cosine, Linear)
