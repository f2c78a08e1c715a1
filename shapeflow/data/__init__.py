"""Training data: its facts, which are known without reading it, and how much of it a step takes.

`bins.py` is the format of token files, which `tokens` and backends read and `shapeflow tokenize` writes. Backends read
the data itself (`backends/shapeflow_torch/data/`, with a module of the same name each).
"""

from shapeflow.data.cifar10 import Cifar10
from shapeflow.data.digits import Digits
from shapeflow.data.fashion_mnist import FashionMnist
from shapeflow.data.image_folder import ImageFolder
from shapeflow.data.python_source import PythonSource
from shapeflow.data.text import Text
from shapeflow.data.tokens import Tokens
from shapeflow.ir.components import Data

COMPONENTS: tuple[type[Data], ...] = (Cifar10, Digits, FashionMnist, ImageFolder, PythonSource, Text, Tokens)
