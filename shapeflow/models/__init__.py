"""Models: parameters with named dims, their sizes in a shape, and the compute of a step. Backends build the modules."""

from shapeflow.ir.components import Architecture
from shapeflow.models.external import External
from shapeflow.models.random_features import RandomFeatures
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit

COMPONENTS: tuple[type[Architecture], ...] = (External, RandomFeatures, Transformer, Vit)
