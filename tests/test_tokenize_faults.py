"""Tar and parquet files that state false sizes, or unpack to much more than their size: a diagnostic, at once."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.tokenize import sources
from shapeflow.tokenize.pieces import NO_TEXT, Tally
from shapeflow.tokenize.shards import REASONS, shard
from shapeflow.tokenize.sources import Choice, found
from shapeflow.tokenize.tables import parquet

END = b"\0" * 1024


def header(name: str, size: int | bytes, kind: bytes = b"0", **more: str) -> bytes:
    """A header; `size` may be the bytes of its field."""
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, more.get("link", "")
    held = bytearray(about.tobuf(tarfile.GNU_FORMAT))
    held[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    held[148:156] = b" " * 8
    held[148:156] = b"%06o\0 " % sum(held)
    return bytes(held)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 512)


def pax(record: bytes) -> bytes:
    return header("pax", len(record), b"x") + padded(record)


GOOD = header("a.txt", 5) + padded(b"hello")


def texts(path: Path, tally: Tally | None = None) -> list[str]:
    return [piece.text for piece in shard(path, tally or Tally())]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (header("a.bin", b"\x80" + b"\x7f" * 11), "ends within a member"),
        (header("a.txt", 100), "ends within a member"),
        (header("a.txt", b"\xff" * 12), "not a number"),
        (header("a.txt", b"77777777777\0"), "more than"),
        (header("pax", b"77777777777\0", b"x"), "a header has 8,589,934,591 bytes"),
        (header("././@LongLink", b"77777777777\0", b"L"), "a header has 8,589,934,591 bytes"),
        (pax(b"0 a=b\n"), "stated length"),
        (pax(b"99999999999999999999999 a=b\n"), "stated length"),
        (pax(b"999 a=b\n"), "stated length"),
        (pax(b"10 size=-5\n") + GOOD, "stated length"),
        (pax(b"11 size=-5\n") + GOOD, "not a number"),
        (header("a", 0, b"S") + END[:3], "ends within"),
        (GOOD[:1023], "ends within"),
        (b"no tar file" * 100, "not a number"),
    ],
)
def test_a_false_size_in_a_tar_file(tmp_path: Path, what: bytes, why: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(what)
    with pytest.raises(OSError, match=why):
        texts(path)


def test_many_headers_before_a_member_are_no_recursion(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pax(b"7 a=bc\n") * 5000 + GOOD + END)
    assert texts(path) == ["hello"]


def test_only_regular_files_of_a_tar_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    others = [header("b.txt", 0, bytes([kind]), link="/etc/passwd") for kind in b"123456"]
    sparse = header("c.txt", 3, b"S") + padded(b"abc")
    path.write_bytes(b"".join(others) + sparse + GOOD + END)
    tally = Tally()
    assert texts(path, tally) == ["hello"]
    assert [*tally.dropped] == ["sparse member: its text is not stored whole"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_tarfile_writes_is_read(tmp_path: Path, form: int, mode: str) -> None:
    path, name = tmp_path / "a.tar", ("long" * 20 + "/") * (1 if form == tarfile.USTAR_FORMAT else 5) + "\u00e9.txt"
    with tarfile.open(path, mode, format=form) as file:  # type: ignore[call-overload]
        for number in range(3):
            data = f"{number}" * 600
            about = tarfile.TarInfo(name)
            about.size = len(data)
            file.addfile(about, io.BytesIO(data.encode()))
    assert texts(path) == ["0" * 600, "1" * 600, "2" * 600]


def test_few_extensions_are_counted_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(header(f"a.{number}", 0) for number in range(100)) + END)
    tally = Tally()
    assert not texts(path, tally)
    assert len(tally.dropped) == REASONS + 1
    assert tally.dropped.total() == 100


def table(path: Path, values: object) -> Callable[[], list[str]]:
    pq.write_table(pa.table({"text": values}), path)
    return lambda: [piece.text for piece in parquet(path, "text", Tally())]


def test_rows_that_share_a_text_are_counted_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["x" * 1000]))
    read = table(tmp_path / "a.parquet", shared)
    assert len(read()) == 5000
    monkeypatch.setenv("SHAPEFLOW_MOST_GROUP_BYTES", "1000000")
    with pytest.raises(OSError, match="more than 1,000,000"):
        read()


def test_missing_values_are_counted_together(tmp_path: Path) -> None:
    path, tally = tmp_path / "a.parquet", Tally()
    pq.write_table(pa.table({"text": pa.array(["a", None, "b", None, None])}), path)
    assert [piece.text for piece in parquet(path, "text", tally)] == ["a", "b"]
    assert tally.dropped == {NO_TEXT: 3}


def test_long_rows_are_read_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = table(tmp_path / "a.parquet", pa.array([f"{number:01000d}" for number in range(100)]))
    sizes: list[int] = []
    batches = pq.ParquetFile.iter_batches

    def noted(self: pq.ParquetFile, batch_size: int, **more: object) -> object:
        sizes.append(batch_size)
        return batches(self, batch_size, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    monkeypatch.setattr("shapeflow.tokenize.tables.HELD", 10_000)
    assert len(read()) == 100
    assert sizes[0] < 11


def test_a_broken_footer_is_a_diagnostic(tmp_path: Path) -> None:
    """Every third byte of the footer is changed in turn."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(["a", "b", None] * 5)}), path)
    whole = path.read_bytes()
    read, footer = 0, int.from_bytes(whole[-8:-4], "little") + 8
    for place in range(len(whole) - footer, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x95]) + whole[place + 1 :])
        try:
            list(parquet(path, "text", Tally()))
            read += 1
        except (OSError, Refused):
            pass
    assert read < footer / 3


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(Refused) as caught:
        found([tmp_path / "pipe.txt"], Choice())
    assert caught.value.diagnostics[0].notes == ("it is not a regular file",)


@pytest.mark.parametrize("command", [["show"], ["export", "-o", "out.safetensors"], ["compile"]])
def test_a_name_that_is_too_long(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer([*command, "a" * 5000]) in (1, 2)
    assert "bug" not in capsys.readouterr().err


class Counted(io.BufferedReader):
    """A file that counts the lines that are read one by one."""

    lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.lines += 1
        return super().readline(size)


def test_blank_lines_are_skipped_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tally = tmp_path / "a.jsonl", Tally()
    blank = b"\n" * 100_000 + b" \r\n\t\n" * 1000
    path.write_bytes(blank + b'  {"text": "a"}\n\n' + blank + b' {"text": "b"}' + blank + b"  ")
    file = Counted(path.open("rb", buffering=0))
    monkeypatch.setattr(sources, "_opened", lambda _: file)
    assert [piece.text for piece in sources.stream(found([path], Choice()), Choice(), tally)] == ["a", "b"]
    assert not tally.dropped
    assert tally.seen == path.stat().st_size
    assert file.lines < 20
