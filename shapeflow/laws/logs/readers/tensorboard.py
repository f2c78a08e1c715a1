"""Event files of TensorBoard (`events.out.tfevents.*`): its scalars, a row a step.

A file is a row of records: the length of the data in 8 bytes, a check of these, the data, a check of it
(tensorflow/core/lib/io/record_writer.h). The data is a message `Event`, which the package `tensorboard` defines.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from shapeflow.laws.logs.readers.log import Log, MissingExtra, Row, Unreadable

FIRST = b"brain.Event:"
"""What stands at the beginning of every file, in its first record."""
LARGEST = 16 << 20
"""Bytes of a record; one of more holds pictures, and is passed over."""
TOGETHER = 10_000
"""Scalars of a row; what is logged at one step beyond that makes another."""
OWN = ("step", "wall_time")
"""Columns that are no tags."""
NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23))
"""Types of tensors that are numbers, by tensorflow/core/framework/types.proto."""


def rows(log: Log) -> Iterator[Row]:
    """The scalars of a file, those logged one after the other at one step in one row: `step`, `wall_time`, and a column
    for each tag. Raises Unreadable, MissingExtra."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import event_pb2
    except ImportError:
        raise MissingExtra("tensorboard", "tensorboard") from None
    row: dict[str, Any] = {}
    for data, check in _records(log):
        event = event_pb2.Event()
        try:
            event.ParseFromString(data)
        except DecodeError:
            log.broken += 1
            continue
        scalars = _scalars(event)
        if not scalars:
            continue
        if _checksum(data) != check:
            log.broken += 1
            continue
        again = any(tag in row for tag in scalars if tag not in OWN)
        if row and (row["step"] != event.step or again or len(row) > TOGETHER):
            yield row
            row = {}
        row.update(scalars)
        row.update(step=event.step, wall_time=event.wall_time)
    if row:
        yield row


def _records(log: Log) -> Iterator[tuple[bytes, int]]:
    """The data of each record, with the check that the file states of it. What lies behind a length that is damaged
    cannot be found."""
    digest, begun = hashlib.sha256(), False
    with log.path.open("rb") as file:
        while head := _take(file, 12, digest):
            length, check = struct.unpack("<QI", head) if len(head) == 12 else (0, -1)
            if check != _checksum(head[:8]):
                if not begun:
                    raise Unreadable("its first record is damaged")
                log.torn = True
                break
            begun = True
            if length > LARGEST:
                log.torn = not _skip(file, length + 4, digest)
                continue
            data = _take(file, length + 4, digest)
            if len(data) < length + 4:
                log.torn = True
                break
            yield data[:length], struct.unpack("<I", data[length:])[0]
        while file and (rest := file.read(1 << 20)):
            digest.update(rest)
    log.sha256 = digest.hexdigest()


def _take(file: BinaryIO, count: int, digest: Any) -> bytes:
    data = file.read(count)
    digest.update(data)
    return data


def _skip(file: BinaryIO, count: int, digest: Any) -> bool:
    """Read on without keeping anything. False where the file ends before."""
    while count > 0:
        data = _take(file, min(count, 1 << 20), digest)
        if not data:
            return False
        count -= len(data)
    return True


def _checksum(data: bytes) -> int:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return int(masked_crc32c(data))


def _scalars(event: Any) -> dict[str, float]:
    """Tag -> number: of `simple_value`, which torch writes, and of tensors of one number, which TensorFlow writes."""
    found: dict[str, float] = {}
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            found[value.tag] = value.simple_value
        elif kind == "tensor" and (number := _of_tensor(value.tensor)) is not None:
            found[value.tag] = number
    return found


def _of_tensor(tensor: Any) -> float | None:
    # The sizes are looked at first: a tensor may state any, and would be made as large.
    if tensor.dtype not in NUMBERS or any(dim.size != 1 for dim in tensor.tensor_shape.dim):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        return float(make_ndarray(tensor).reshape(-1)[0])
    except (ValueError, TypeError, IndexError, KeyError):
        return None
