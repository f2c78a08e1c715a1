"""Reader of Parquet files. Reads one batch of rows at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from shapeflow.base.parquet_pages import groups
from shapeflow.laws.logs.readers import key_value, wandb
from shapeflow.laws.logs.readers.log import COLUMNS, Log, MissingExtra, Row, Unreadable

MAGIC = b"PAR1"
ROWS = 20_000_000
"""Maximum number of rows of a file. A real log has fewer; a file that states more may be a decompression bomb."""
UNPACKED = 512 << 20
"""Maximum decompressed size of a row group in bytes. It limits the memory that reading takes."""
CELLS = 1 << 18
"""Maximum number of cells of a batch."""
LONGEST = 1 << 16
"""Maximum length of a text in a cell."""


def rows(log: Log) -> Iterator[Row]:
    """Yield the rows, with only the columns of numbers or texts. Raises Unreadable, MissingExtra."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "data") from None
    with log.path.open("rb") as file:
        file.seek(-min(4, log.path.stat().st_size), 2)
        if file.read(4) != MAGIC:
            raise Unreadable("it does not end like a parquet file, and cannot be read without its end")
        file.seek(0)
        log.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        yield from _rows(log, pa, pq)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise Unreadable(f"it is a parquet file that is damaged: {first[:200]}") from None


def _rows(log: Log, pa: Any, pq: Any) -> Iterator[Row]:
    options: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 16, "page_checksum_verification": True}
    with pq.ParquetFile(log.path, **options) as file:
        _check(log, file.metadata)
        kinds = {field.name: field.type for field in file.schema_arrow}
        if len(kinds) < len(file.schema_arrow):
            raise Unreadable("two columns of it have one name")
        names = [name for name, kind in kinds.items() if _plain(pa, kind)]
        texts = [name for name in names if pa.types.is_string(kinds[name]) or pa.types.is_large_string(kinds[name])]
    if left := [name for name in kinds if name not in names]:
        log.notes.append(f"columns of neither numbers nor texts are left out: {', '.join(left[:8])}")
    wandb.mark(log, names)
    key = key_value.key_of(names)
    log.uniform = key is None
    # Read texts as dictionaries, so that a text that occurs in many rows is stored once.
    with pq.ParquetFile(log.path, read_dictionary=texts, **options) as file:
        for batch in file.iter_batches(max(1, CELLS // max(1, len(names))), columns=names, use_threads=False):
            batch.validate(full=True)
            columns = [_cells(pa, column) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                row = dict(zip(batch.schema.names, cells, strict=True))
                yield row if key is None else key_value.spread(row, key)


def _check(log: Log, metadata: Any) -> None:
    """Raise Unreadable for a file that is too large to decompress, by its footer and the headers of its pages. Raises
    OSError, ValueError for a damaged one."""
    if metadata.num_rows > ROWS or metadata.num_columns > COLUMNS:
        raise Unreadable(f"it states {metadata.num_rows} rows of {metadata.num_columns} columns")
    most = max((group.size for group in groups(log.path)), default=0)
    if most > UNPACKED:
        raise Unreadable(f"a group of its rows unpacks to {most >> 20} MiB; write smaller ones")


def _plain(pa: Any, kind: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        of(kind)
        for of in (
            types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_string,
            types.is_large_string, types.is_null,
        )
    )  # fmt: skip


def _cells(pa: Any, column: Any) -> Sequence[Any]:
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    if any(isinstance(text, str) and len(text) > LONGEST for text in texts):
        raise Unreadable(f"a text in it is longer than {LONGEST} letters")
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]
