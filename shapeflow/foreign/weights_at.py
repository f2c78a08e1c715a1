"""Weights where a plan names them: a file of ours, or the folder of a model of another library."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import read_regular
from shapeflow.foreign.imported import read_foreign
from shapeflow.ir.weights import Weights, of_start, read_weights


def weights_at(path: Path) -> Weights:
    """The description of a model in a file of weights, or in a folder that `shapeflow import` reads. The digest of a
    folder is that of the file that an import would write.

    Raises Refused `teacher-missing`, `teacher-broken`, and for a folder `cannot-import`, `cannot-read`."""
    if not path.is_dir():
        return read_weights(path)
    weights, pieces = read_foreign(path)
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return attrs.evolve(weights, sha256=digest.hexdigest())


def start_at(path: Path) -> Weights:
    """The same for the weights that a run starts from. Raises Refused `start-missing`, `start-broken`, and for a folder
    `cannot-import`, `cannot-read`."""
    try:
        return weights_at(path)
    except Refused as refused:
        raise of_start(refused) from None


def bytes_at(path: Path) -> tuple[Weights, bytes]:
    """The description of a model, without a digest for a folder, and the bytes of its file of weights. Raises what
    `weights_at` raises, and OSError."""
    if not path.is_dir():
        return read_weights(path), read_regular(path)
    weights, pieces = read_foreign(path)
    return weights, b"".join(pieces)
