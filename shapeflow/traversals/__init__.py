"""Traversals: the rules that pick the candidates of a plan and their order."""

from shapeflow.ir.components import Traversal
from shapeflow.traversals.evenly import Evenly
from shapeflow.traversals.fixed import Fixed
from shapeflow.traversals.logarithmic import Logarithmic
from shapeflow.traversals.mixture import Mixture
from shapeflow.traversals.random import Random
from shapeflow.traversals.shares import Shares
from shapeflow.traversals.steepest import Steepest

COMPONENTS: tuple[type[Traversal], ...] = (Evenly, Fixed, Logarithmic, Mixture, Random, Shares, Steepest)
