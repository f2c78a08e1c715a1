"""Write small log files in the formats of other libraries: Parquet, Hugging Face `Trainer`, TensorBoard."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def parquet(path: Path, rows: Iterable[Mapping[str, Any]], **options: Any) -> Path:
    """Write rows to a Parquet file; `options` are those of `pyarrow.parquet.write_table`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path, **options)
    return path


def trainer_state(path: Path, rows: Iterable[Mapping[str, Any]], **state: Any) -> Path:
    """Write rows as the `log_history` of a `trainer_state.json`; `state` adds or replaces other fields."""
    path.parent.mkdir(parents=True, exist_ok=True)
    best = {"best_metric": None, "best_model_checkpoint": None, "epoch": 1.0, "is_world_process_zero": True}
    path.write_text(json.dumps({**best, **state, "log_history": [dict(row) for row in rows]}, indent=2))
    return path


def events(path: Path, rows: Iterable[Mapping[str, Any]], *, as_tensors: bool = False) -> Path:
    """Write rows to a TensorBoard event file. The first record holds the file version.

    By default each scalar is an event of its own, as torch's `SummaryWriter` writes them. With `as_tensors`, each step
    is one event with tensor values, as TensorFlow writes them.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.util.tensor_util import make_tensor_proto

    found = [Event(wall_time=1.0, file_version="brain.Event:2")]
    for row in rows:
        values = [(tag, value) for tag, value in row.items() if tag != "step"]
        step, time = int(row["step"]), 2.0 + 0.37 * row["step"]
        if as_tensors:
            each = [Summary.Value(tag=tag, tensor=make_tensor_proto(value)) for tag, value in values]
            found.append(Event(wall_time=time, step=step, summary=Summary(value=each)))
        else:
            each = [Summary.Value(tag=tag, simple_value=value) for tag, value in values]
            found += [Event(wall_time=time, step=step, summary=Summary(value=[one])) for one in each]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(event.SerializeToString()) for event in found))
    return path


def record(data: bytes) -> bytes:
    """The bytes of one TFRecord: length, checksum, data, checksum."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))
