"""Objectives: the losses that training minimises."""

from shapeflow.ir.components import Objective
from shapeflow.objectives.cross_entropy import CrossEntropy
from shapeflow.objectives.denoising import Denoising
from shapeflow.objectives.distill import Distill
from shapeflow.objectives.mixture import Mixture
from shapeflow.objectives.next_token import NextToken
from shapeflow.objectives.squared_error import SquaredError

COMPONENTS: tuple[type[Objective], ...] = (CrossEntropy, Denoising, Distill, Mixture, NextToken, SquaredError)
