"""Saved data sets: compressed ones are read, and those that state false sizes or places are refused before they are
unpacked."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from shapeflow.base.arrow_buffers import Unpacked, batches
from shapeflow.tokenize.pieces import Tally
from shapeflow.tokenize.tables import saved

ROWS = ["four " * 2000, "", "five" * 3000] * 5


def stream(values: object, compression: str | None = None) -> bytes:
    table = pa.table({"text": values})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(held := io.BytesIO(), table.schema, options=options) as file:
        file.write_table(table)
    return held.getvalue()


def folder(path: Path, content: bytes) -> Path:
    (path / "data.arrow").write_bytes(content)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return path


def texts(path: Path) -> list[str]:
    return [piece.text for piece in saved(path, "text", Tally())]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_streams_are_read(tmp_path: Path, compression: str, kind: pa.DataType) -> None:
    assert texts(folder(tmp_path, stream(pa.array(ROWS, kind), compression))) == [text for text in ROWS if text]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_dictionary_is_read(tmp_path: Path, compression: str) -> None:
    values = pa.array(ROWS).dictionary_encode()
    assert texts(folder(tmp_path, stream(values, compression))) == [text for text in ROWS if text]


def test_sizes_are_those_of_the_table() -> None:
    def sizes(compression: str | None) -> list[Unpacked]:
        reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(stream(ROWS, compression)))
        return list(batches(reader))

    assert sizes(None) == [Unpacked(0, 0)]
    longest = sum(map(len, ROWS))
    assert sizes("lz4") == sizes("zstd") == [Unpacked(longest + 4 * (len(ROWS) + 1), longest)]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize(
    ("stated", "why"),
    [(1 << 40, "1,099,511,627,776 bytes, more than"), (-7, "unpacks to -7 bytes"), (-(1 << 63), "unpacks to -")],
)
def test_a_false_length_is_refused_before_it_is_allocated(
    tmp_path: Path, compression: str, stated: int, why: str
) -> None:
    true = struct.pack("<q", sum(map(len, ROWS)))
    # Its last place is in the body: the metadata may hold the same number.
    before, found, after = stream(ROWS, compression).rpartition(true)
    assert found
    with pytest.raises(OSError, match=why):
        texts(folder(tmp_path, before + struct.pack("<q", stated) + after))


def test_a_bomb_is_refused_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stream(["a" * 1_000_000] * 3, "zstd")
    assert len(content) < 10_000
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "2000000")
    with pytest.raises(OSError, match="a buffer has 3,000,000 bytes, more than 2,000,000"):
        texts(folder(tmp_path, content))
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "3000000")
    assert "".join(texts(folder(tmp_path, content))) == "a" * 3_000_000


def test_places_outside_a_buffer_are_not_read(tmp_path: Path) -> None:
    content = stream(["abc", "defg"])
    places = struct.pack("<iii", 0, 3, 7)
    with pytest.raises(OSError, match="out of bounds"):
        texts(folder(tmp_path, content.replace(places, struct.pack("<iii", 0, 3, 70_000))))
