"""What the pages of a parquet file unpack to is read off their own headers, and bounded before they are unpacked."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shapeflow.base import parquet_pages
from shapeflow.base.parquet_pages import groups
from shapeflow.laws.logs.readers import parquet as logs
from shapeflow.laws.logs.readers.log import Log, Unreadable
from shapeflow.tokenize.pieces import Tally
from shapeflow.tokenize.tables import parquet

LONG = 10_000_000


def varint(number: int, width: int) -> bytes:
    """A number above 0 in Thrift's compact protocol, padded to a width in bytes."""
    number <<= 1
    return bytes((number >> 7 * at) & 127 | (128 if at < width - 1 else 0) for at in range(width))


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A file of few KiB that unpacks to 10 MB; its footer states 1,000 bytes."""
    path = tmp_path / "bomb.parquet"
    values = {"text": pa.array(["x" * LONG])}
    pq.write_table(pa.table(values), path, compression="zstd", use_dictionary=False, write_statistics=False)
    size = pq.read_metadata(path).row_group(0).total_byte_size
    data = path.read_bytes().replace(varint(size, 4), varint(1000, 4))
    path.write_bytes(data)
    assert pq.read_metadata(path).row_group(0).total_byte_size == 1000
    assert len(data) < 10_000
    return path


@pytest.mark.parametrize("name", ["SHAPEFLOW_MOST_GROUP_BYTES", "SHAPEFLOW_MOST_DOCUMENT_BYTES"])
def test_a_false_size_in_a_footer_does_not_hide_pages(bomb: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(len(piece.text) for piece in parquet(bomb, "text", Tally())) == LONG
    monkeypatch.setenv(name, "5000000")
    with pytest.raises(OSError, match=rf"more than 5,000,000: set `{name}`"):
        list(parquet(bomb, "text", Tally()))


def test_a_log_whose_footer_states_a_false_size(bomb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "UNPACKED", 5 << 20)
    with pytest.raises(Unreadable, match="unpacks to 9 MiB"):
        list(logs.rows(Log(bomb, "parquet", logs.rows)))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_pages_of_all_kinds(version: str, compression: str, dictionary: bool, tmp_path: Path) -> None:
    """The footer of a true file states the same sizes, with the headers of pages."""
    path = tmp_path / "a.parquet"
    texts = [f"{number % 7:050d}" if dictionary else f"{number:050d}" for number in range(5000)]
    pq.write_table(
        pa.table({"text": texts, "step": list(range(5000))}), path, compression=compression, data_page_size=4096,
        use_dictionary=dictionary, data_page_version=version, row_group_size=2000,
    )  # fmt: skip
    found = groups(path)
    assert len(found) == 3
    for number, group in enumerate(found):
        stated = pq.read_metadata(path).row_group(number).total_byte_size
        assert 0.9 * stated < group.size <= stated
    assert [group.size for group in groups(path, ["text"])] < [group.size for group in found]


def test_more_pages_than_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"a": [1, 2, 3, 4]}), path := tmp_path / "a.parquet", row_group_size=1)
    monkeypatch.setattr(parquet_pages, "PAGES", 5)
    with pytest.raises(ValueError, match="more than 5 pages"):
        groups(path)


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """A changed or a shorter file is read or refused; nothing else is raised."""
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), path := tmp_path / "a.parquet")
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        for changed in (whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :], whole[:place]):
            path.write_bytes(changed)
            try:
                groups(path)
            except ValueError:
                refused += 1
    assert refused > len(whole)
