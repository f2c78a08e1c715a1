"""Write small weight files without torch: the header of an architecture, and tensors of zeros."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from shapeflow.base.settings import name_of, written
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import View
from shapeflow.ir.parameters import DataFacts
from shapeflow.ir.weights import Weights, metadata
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit
from shapeflow.transitions.flexi_resize import FlexiResize

DIGITS = DataFacts(kind="images", image=8, channels=1, classes=10)
BYTES = DataFacts(kind="text", vocabulary=256)


def vit_weights(facts: DataFacts = DIGITS, patch: int = 4, base: int | None = None, width: int = 4) -> Weights:
    """Weights of a vision transformer with one block. With `base`, its patch embedding is read through views."""
    model = Vit(depth=1, width=width, heads=1, patch=patch if base is None else None)
    flexi = None if base is None else FlexiResize(base=base, grid=2)
    declared = model.declare(facts, {} if flexi is None else flexi.stored(facts))
    own = Shape.of() if base is None else Shape.of(patch=patch)
    shape = model.shape(own)
    reading = () if flexi is None else tuple(e for e in flexi.reading(declared, shape) if isinstance(e, View))
    return _weights(model, declared, shape, own, reading)


def text_weights(facts: DataFacts = BYTES) -> Weights:
    """Weights of a language model with one block."""
    model = Transformer(depth=1, width=8, heads=1, context=16)
    return _weights(model, model.declare(facts, {}), model.shape({}), Shape.of(), ())


def _weights(model: Any, declared: Any, shape: Shape, own: Shape, reading: tuple[View, ...]) -> Weights:
    return Weights(
        model=name_of(model),
        settings=written(model),
        shape=own,
        sizes=declared.sizes(shape),
        slots={name: value for name, value in declared.slots.items() if name != "batch"},
        reading=reading,
        parameters=declared.parameters,
        plan="0" * 64,
        step=100,
        averaged=True,
    )


def write_zeros(path: Path, weights: Weights, stated: dict[str, str] | None = None) -> Path:
    """Write a complete weight file whose tensors are all 0; `stated` replaces the metadata of its header."""
    header: dict[str, Any] = {"__metadata__": metadata(weights) if stated is None else stated}
    at = 0
    for name, sizes in weights.ledger().tensors().items():
        end = at + 4 * math.prod(sizes)
        header[name] = {"dtype": "F32", "shape": list(sizes), "data_offsets": [at, end]}
        at = end
    return write_file(path, header, at)


def write_file(path: Path, header: Any, size: int) -> Path:
    """Write a safetensors file: the header, then `size` zero bytes."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    return path
