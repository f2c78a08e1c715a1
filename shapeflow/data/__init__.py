"""Training data: its facts, which are known without reading it, and how much data a step uses.

`bins.py` defines the format of token files, which `shapeflow tokenize` writes and `tokens` and the backends read.
Backends read the data itself, in modules of the same names (`backends/shapeflow_torch/data/`).
"""

from shapeflow.data.cifar10 import Cifar10
from shapeflow.data.digits import Digits
from shapeflow.data.fashion_mnist import FashionMnist
from shapeflow.data.image_folder import ImageFolder
from shapeflow.data.mixture import Mixture
from shapeflow.data.power_law import PowerLaw
from shapeflow.data.python_source import PythonSource
from shapeflow.data.text import Text
from shapeflow.data.tokens import Tokens
from shapeflow.ir.components import Data

COMPONENTS: tuple[type[Data], ...] = (
    Cifar10,
    Digits,
    FashionMnist,
    ImageFolder,
    Mixture,
    PowerLaw,
    PythonSource,
    Text,
    Tokens,
)
