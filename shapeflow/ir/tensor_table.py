"""The header of a safetensors file: which tensors it holds, and where. No tensor is read.

A safetensors file begins with the length of its header (8 bytes, little-endian), followed by the header, a JSON object.
The header contains the type, shape and offsets of every tensor by name, and custom texts under `__metadata__`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import attrs

from shapeflow.base.json_text import parse_json

LONGEST = 1 << 24
"""Maximum length of a header in bytes."""
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Supported tensor types -> bytes per element."""

Sizes = tuple[int, ...]
Refuse = Callable[..., NoReturn]
"""Function (path, reason) that raises Refused for a file that is not as it must be."""


@attrs.frozen
class Stored:
    """A tensor in a file: its type, its sizes, and its first and last byte (exclusive), counted from the file's."""

    dtype: str
    sizes: Sizes
    begin: int
    end: int


@attrs.frozen
class TensorTable:
    """What the header of a file says. `metadata`: its custom texts; not checked."""

    metadata: Any
    tensors: Mapping[str, Stored]


def read_table(file: BinaryIO, path: Path, refuse: Refuse) -> TensorTable:
    """The table of an open file, whose tensors must fill it exactly. Calls `refuse` otherwise. Raises OSError."""
    size = file.seek(0, 2)
    file.seek(0)
    first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 2 <= length <= size - 8:
        refuse(path, "it is not a safetensors file, or it is incomplete")
    if length > LONGEST:
        refuse(path, f"its header has {length} bytes")
    header = as_object(path, file.read(length), "its header", refuse)
    metadata = header.pop("__metadata__", None)
    return TensorTable(metadata, _tensors(path, header, 8 + length, size, refuse))


def as_object(path: Path, text: Any, what: str, refuse: Refuse) -> dict[str, Any]:
    """The JSON object in a text. Calls `refuse` if it is none; `what` names the text."""
    try:
        found = parse_json(text)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, dict):
        refuse(path, f"{what} is not a JSON object")
    return found


def _tensors(path: Path, header: Mapping[str, Any], start: int, size: int, refuse: Refuse) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for name, entry in header.items():
        try:
            dtype, sizes, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            width = WIDTHS.get(dtype)
            whole = all(type(number) is int and number >= 0 for number in (*sizes, begin, end))
        except (KeyError, TypeError, ValueError):
            refuse(path, f"its header says of `{name}` what cannot be")
        if width is None:
            refuse(path, f"`{name}` has the type {dtype}, and {', '.join(WIDTHS)} are read")
        if not whole or end - begin != math.prod(sizes) * width:
            refuse(path, f"its header says of `{name}` what cannot be")
        found[name] = Stored(dtype, sizes, start + begin, start + end)
    at = start
    for stored in sorted(found.values(), key=lambda one: (one.begin, one.end)):
        if stored.begin != at:
            refuse(path, "its tensors overlap, or leave gaps")
        at = stored.end
    if at != size:
        refuse(path, f"its tensors take {at - start} bytes, and {size - start} are there")
    return found
