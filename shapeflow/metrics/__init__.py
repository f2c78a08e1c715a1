"""Metrics: the errors that laws predict and runs measure.

A metric's `key` is its name in plans and logs.
"""

from shapeflow.ir.components import Metric
from shapeflow.metrics.classification_error import ClassificationError
from shapeflow.metrics.cross_entropy import HeldOutCrossEntropy
from shapeflow.metrics.fewshot_error import FewshotError
from shapeflow.metrics.loss import Loss
from shapeflow.metrics.squared_error import HeldOutSquaredError

COMPONENTS: tuple[type[Metric], ...] = (
    ClassificationError,
    FewshotError,
    HeldOutCrossEntropy,
    HeldOutSquaredError,
    Loss,
)
