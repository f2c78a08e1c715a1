"""Handwritten digits from scikit-learn."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shapeflow.data.digits import HELD_OUT
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.random import EPOCHS, generator

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Images:
    """Return 1,437 training and 360 held-out images (1, 8, 8). Pixels from 0 to 16 are scaled to mean 0 and standard
    deviation 1."""
    del settings, root, contexts
    images, classes = _table()
    order = generator(0, EPOCHS, 0).permutation(len(images))
    pixels = torch.from_numpy(((images[order] - 4.884) / 6.016).astype(np.float32)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(classes[order].astype(np.int64))
    training, held_out = (pixels[:-HELD_OUT], labels[:-HELD_OUT]), (pixels[-HELD_OUT:], labels[-HELD_OUT:])
    return Images(training, held_out, {"data": "digits"}, device)


def _table() -> tuple[Floats, Floats]:
    """Return pixels and classes of all images, as in `sklearn.datasets.load_digits`. The file is read directly, because
    importing scikit-learn takes longer than a small run."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("scikit-learn, which brings the digits, is not installed")
    with gzip.open(Path(package.origin).parent / "datasets/data/digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1]
