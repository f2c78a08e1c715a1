"""Models: parameters with named dims, their sizes in a shape, the compute of a step. The modules are a machine's."""

from shapeflow.ir.components import Architecture
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit

COMPONENTS: tuple[type[Architecture], ...] = (Transformer, Vit)
