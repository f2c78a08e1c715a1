"""Costs: what a plan minimises (`minimise ...`), with the prices that make it out of time."""

from shapeflow.costs.carbon import Carbon
from shapeflow.costs.dollars import Dollars
from shapeflow.costs.flops import Flops
from shapeflow.costs.joules import Joules
from shapeflow.costs.seconds import Seconds
from shapeflow.ir.components import Cost

COMPONENTS: tuple[type[Cost], ...] = (Carbon, Dollars, Flops, Joules, Seconds)
