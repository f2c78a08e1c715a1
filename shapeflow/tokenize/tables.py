"""Reads tables: parquet files, and data sets saved to disk by Hugging Face's `datasets`.

Both are read with pyarrow. A saved data set is a folder of Arrow streams, which `state.json` lists; reading them needs
neither `datasets` nor the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shapeflow.base.arrow_buffers import batches
from shapeflow.base.bounds import above
from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.base.files import read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.base.parquet_pages import Group, groups
from shapeflow.tokenize.pieces import NO_TEXT, Piece, Tally, document

STATE, SPLITS = "state.json", "dataset_dict.json"
ROWS = 512
"""The number of rows of a saved data set that are kept in memory."""
HELD, MANY = 1 << 26, 1 << 14
"""About how many bytes of a parquet file are kept in memory, and the most rows."""


def is_saved(folder: Path) -> bool:
    """Whether a folder is a saved data set. Raises Refused `no-text` for a folder of splits."""
    if (folder / SPLITS).is_file():
        splits = sorted(path.parent.name for path in folder.glob(f"*/{STATE}"))
        message = f"`{folder}` holds splits of a data set, not a data set"
        help_ = f"name one of them: {', '.join(str(folder / split) for split in splits)}"
        raise Refused(Diagnostic("no-text", message, place=str(folder), help=help_))
    return (folder / STATE).is_file()


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files of a saved data set, in order. Raises OSError."""
    try:
        state = parse_json(read_regular(folder / STATE))
        names = [Path(file["filename"]).name for file in state["_data_files"]]
        if not all(map(str.isprintable, names)):
            raise ValueError(names)
        return [folder / name for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{STATE} does not list its data files") from error


def saved(folder: Path, column: str, tally: Tally) -> Iterator[Piece]:
    """The rows of a saved data set. Raises Refused `missing-column`, `missing-extra`; OSError."""
    arrow = _pyarrow()
    for path in saved_files(folder):
        try:
            with arrow.memory_map(str(path)) as file:
                for sizes in batches(arrow.ipc.MessageReader.open_stream(file)):
                    _bounded("a buffer", sizes.buffer, "a batch of its rows", sizes.size)
            with arrow.memory_map(str(path)) as file, arrow.ipc.open_stream(file) as stream:
                _check(stream.schema, column, path)
                for batch in stream:
                    # The places of texts in a buffer are numbers of the file, which may lead out of the buffer.
                    batch.validate(full=True)
                    tally.seen += batch.nbytes
                    for at in range(0, batch.num_rows, ROWS):
                        yield from _rows(batch.slice(at, ROWS), column, tally)
        except (arrow.ArrowException, OverflowError, MemoryError, ValueError, LookupError) as error:
            raise OSError(str(error) or "it needs too much memory") from error


def parquet(path: Path, column: str, tally: Tally) -> Iterator[Piece]:
    """The rows of a parquet file. Raises Refused `missing-column`, `missing-extra`; OSError."""
    arrow = _pyarrow()
    before, size = tally.seen, path.stat().st_size
    try:
        with arrow.parquet.ParquetFile(path) as file:
            _check(file.schema_arrow, column, path)
            batch_size = _batch_size(file.metadata, groups(path, [column]))
        # A text that many rows share is kept once, however small the file makes the reference to it.
        with arrow.parquet.ParquetFile(path, read_dictionary=[column]) as file:
            rows, total = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=batch_size, columns=[column]):
                yield from _rows(batch, column, tally)
                rows += batch.num_rows
                tally.seen = before + size * rows // total
    # A broken file also has names that are not UTF-8, and places that do not exist.
    except (arrow.ArrowException, OverflowError, MemoryError, ValueError, LookupError) as error:
        raise OSError(str(error) or "it needs too much memory") from error


def _batch_size(metadata: Any, sizes: list[Group]) -> int:
    """The number of rows that take about `HELD` bytes, by the sizes of the pages. Raises OSError if a page or a group
    of rows unpacks to too much, ValueError if the file has other groups."""
    most = 0.0
    for number, group in enumerate(sizes):
        _bounded("a page", group.page, "a group of its rows", group.size)
        most = max(most, group.size / max(1, metadata.row_group(number).num_rows))
    return int(min(MANY, max(1.0, HELD / max(most, 1.0))))


def _bounded(part: str, most: int, whole: str, size: int) -> None:
    """Raise OSError if rows unpack to too much: the largest of their parts, or all together."""
    limits = (("SHAPEFLOW_MOST_DOCUMENT_BYTES", part, most), ("SHAPEFLOW_MOST_GROUP_BYTES", whole, size))
    for name, what, found in limits:
        if (reason := above(name, what, found, "bytes")) is not None:
            raise OSError(reason)


def _rows(batch: Any, column: str, tally: Tally) -> Iterator[Piece]:
    held = batch.column(column)
    if missing := held.null_count:
        held = held.drop_null()
        tally.drop(NO_TEXT, missing)
    if not hasattr(held, "dictionary"):
        # Rows of views may share the same long text: one at a time.
        views = str(held.type).endswith("_view")
        for text in (one.as_py() for one in held) if views else held.to_pylist():
            yield from document(text, tally)
        return
    texts, places = held.dictionary.to_pylist(), held.indices.to_pylist()
    size = sum(len(texts[place] or "") for place in places)
    if (reason := above("SHAPEFLOW_MOST_GROUP_BYTES", "a group of its rows", size, "bytes")) is not None:
        raise OSError(reason)
    for place in places:
        yield from document(texts[place], tally)


def _check(schema: Any, column: str, path: Path) -> None:
    """Raise Refused `missing-column` if a table does not have the column."""
    names = list(schema.names)
    if column not in names:
        close = did_you_mean(column, names)
        message = f"`{path}` has no column `{column}`"
        notes = [f"its columns: {', '.join(names)}"]
        help_ = f"name the column that holds the text: `--column {close or (names or ['text'])[0]}`"
        raise Refused(Diagnostic("missing-column", message, place=str(path), notes=tuple(notes), help=help_))
    kind = str(schema.field(column).type)
    if not re.fullmatch(r"(large_)?string(_view)?|null|dictionary<values=(large_)?string.*", kind):
        message = f"the column `{column}` of `{path}` does not hold text"
        notes = [f"it holds {kind}", f"its columns: {', '.join(names)}"]
        help_ = "name the column that holds the text: `--column NAME`"
        raise Refused(Diagnostic("missing-column", message, place=str(path), notes=tuple(notes), help=help_))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        message = "parquet files and saved data sets need `pyarrow`, which is not installed"
        raise Refused(Diagnostic("missing-extra", message, help="`pip install 'shapeflow[data]'`")) from error
    return pyarrow
