"""Data a model is trained on: what it is (known here, without reading it) and how much of it a step takes.

Reading the bytes is a machine's affair (`backends/shapeflow_torch/data/`, a file of the same name each).
"""

from shapeflow.data.digits import Digits
from shapeflow.data.fashion_mnist import FashionMnist
from shapeflow.data.python_source import PythonSource
from shapeflow.data.text import Text

COMPONENTS = (Digits, FashionMnist, PythonSource, Text)
