"""Reader of the scalars in TensorBoard event files (`events.out.tfevents.*`), one row per step.

A file is a sequence of records: the length of the data in 8 bytes, a checksum of the length, the data, and a checksum
of the data (tensorflow/core/lib/io/record_writer.h). The data is an `Event` message, which the package `tensorboard`
defines.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from shapeflow.laws.logs.readers.log import Log, MissingExtra, Row, Unreadable

FIRST = b"brain.Event:"
"""Text in the first record of every event file."""
LARGEST = 16 << 20
"""Maximum size of a record in bytes. Larger records contain images, and are skipped."""
TOGETHER = 10_000
"""Maximum number of scalars of a row. Further scalars of the same step start a new row."""
SPLITS = ("train", "training", "validation", "val", "eval", "test")
"""Folders that hold the scalars of one part of the data, under the same names as the others."""
OWN = ("step", "wall_time")
"""Columns that are not tags."""
NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 9, 14, 17, 19, 22, 23))
"""Numeric tensor types (tensorflow/core/framework/types.proto)."""


def rows(log: Log) -> Iterator[Row]:
    """Yield the scalars of a file, with consecutive scalars of the same step in one row. The columns are `step`,
    `wall_time` and the tags. Raises Unreadable, MissingExtra."""
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
        scalars = _named(log, _scalars(event))
        if not scalars:
            continue
        if _checksum(data) != check:
            log.broken += 1
            continue
        again = any(tag in row for tag in scalars if tag not in OWN)
        if row and (row["step"] != event.step or again or len(row) > TOGETHER):
            yield _counted(row)
            row = {}
        row.update(scalars)
        row.update(step=event.step, wall_time=event.wall_time)
    if row:
        yield _counted(row)


def _named(log: Log, scalars: dict[str, float]) -> dict[str, float]:
    """Return the scalars by names that are unique in the run, and set the folder of the run. Keras writes training and
    validation, and `add_scalars` each scalar, to a folder of its own below that of the run."""
    folder, found = log.path.parent, dict[str, float]()
    for tag, value in scalars.items():
        lead = tag.replace("/", "_").replace(" ", "_") + "_"
        if folder.name.startswith(lead):
            found[f"{tag}/{folder.name.removeprefix(lead)}"] = value
        else:
            found[f"{folder.name}/{tag}" if folder.name.lower() in SPLITS else tag] = value
    if any(tag not in scalars for tag in found):
        log.run_folder = folder.parent
    return found


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its step under the name of what it counts: Keras logs `epoch_loss` by epochs."""
    if any("epoch_" in tag for tag in row) and all("epoch_" in tag for tag in row if tag not in OWN):
        return {"epoch" if name == "step" else name: cell for name, cell in row.items()}
    return row


def _records(log: Log) -> Iterator[tuple[bytes, int]]:
    """Yield the data of each record, with the checksum that the file states. Stops at a damaged length, since the next
    record cannot be found."""
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
    """Skip `count` bytes. Return False if the file ends before."""
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
    """Return tag -> number. PyTorch writes scalars as `simple_value`, and TensorFlow as tensors with one element."""
    found: dict[str, float] = {}
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            found[value.tag] = value.simple_value
        elif kind == "tensor" and (number := _of_tensor(value.tensor)) is not None:
            found[value.tag] = number
    return found


def _of_tensor(tensor: Any) -> float | None:
    # Check the shape first: `make_ndarray` allocates memory for any shape that the file states.
    if tensor.dtype not in NUMBERS or any(dim.size != 1 for dim in tensor.tensor_shape.dim):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        return float(make_ndarray(tensor).reshape(-1)[0])
    except (ValueError, TypeError, IndexError, KeyError):
        return None
