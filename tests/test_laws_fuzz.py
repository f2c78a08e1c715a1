"""Damaged, absurd and malicious logs: a diagnostic for each, with bounded memory and without an exception."""

from __future__ import annotations

import math
import os
import random
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_files import events, parquet, record
from test_laws_logs import PATCHES, ask, curve
from test_laws_readers import FORMATS, ROWS, write

from shapeflow.base.diagnostics import Report
from shapeflow.laws.fit import Fit
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Unreadable, document, lines, open_log
from shapeflow.laws.logs.readers import parquet as parquet_reader
from shapeflow.laws.logs.readers import tensorboard as tensorboard_reader
from shapeflow.laws.logs.usable import COMPUTE, ERROR

GIB = 1 << 30
QUICK = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    """Fail if Python allocates more than this within the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * (1 << 20)
    finally:
        tracemalloc.stop()


def read_bytes() -> int:
    """The number of bytes that this process has read so far; 0 if the system does not report it."""
    path = Path("/proc/self/io")
    return int(path.read_text().split()[1]) if path.exists() else 0


def read_or_refuse(path: Path) -> bool:
    """Read a log as `fit` does, and check that the result is runs with usable points, or errors."""
    why = "none"
    try:
        assert all(isinstance(row, dict) for row in open_log(path).rows())
    except Unreadable as error:
        why = str(error)
    assert len(why.splitlines()) == 1
    report = Report()
    found = read_logs(Query(path.name), ask(path.parent, PATCHES[1:], metric="loss@own"), report)
    assert (found is None) == bool(report.errors)
    for run in found.runs.values() if found else ():
        for point in run.points.values():
            assert COMPUTE[0] <= point.compute <= COMPUTE[1]
            assert ERROR[0] <= point.error <= ERROR[1]
    return found is not None


damage = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("put"), st.floats(0, 1), st.binary(max_size=40)),
        st.tuples(st.just("drop"), st.floats(0, 1), st.integers(1, 60)),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, changes: list[tuple[str, float, object]]) -> bytes:
    for kind, share, *what in changes:
        at = int(share * max(0, len(data) - 1))
        match kind, what:
            case "cut", _:
                data = data[:at]
            case "flip", [int(value)]:
                data = data[:at] + bytes([value]) + data[at + 1 :]
            case "put", [bytes(value)]:
                data = data[:at] + value + data[at:]
            case _, [int(count)]:
                data = data[:at] + data[at + count :]
    return data


@pytest.mark.parametrize("format", FORMATS)
@QUICK
@given(changes=damage)
def test_damaged_files(tmp_path: Path, format: str, changes: list[tuple[str, float, object]]) -> None:
    path = write(tmp_path, format)
    path.write_bytes(damaged(path.read_bytes(), changes))
    read_or_refuse(path)


@QUICK
@given(data=st.binary(max_size=300), name=st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "events.out.tfevents.1"]))
def test_files_of_arbitrary_bytes(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    read_or_refuse(tmp_path / name)


@pytest.mark.parametrize("format", ["CSV", "JSON lines", "TensorBoard events"])
def test_torn_at_any_byte(tmp_path: Path, format: str) -> None:
    """A log that is still being written, or whose writer was killed: all complete rows are read, no partial number."""
    path = write(tmp_path, format)
    data, whole = path.read_bytes(), list(open_log(path).rows())
    begun = False
    for end in range(len(data)):
        path.write_bytes(data[:end])
        try:
            rows = list(open_log(path).rows())
        except Unreadable:
            assert not begun
            continue
        begun |= bool(rows)
        assert all(row == of for row, of in zip(rows[:-1], whole, strict=False))
        if rows:
            expected = {name: float(whole[len(rows) - 1][name]) for name in rows[-1]}
            # Of a number with many digits, the last ones may be missing.
            assert {name: float(cell) for name, cell in rows[-1].items()} == pytest.approx(expected, rel=1e-9)


CELLS = [
    "nan",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e-320",
    "1e400",
    "9" * 400,
    "",
    "abc",
    "0",
    "-5",
    "true",
    "∞",
    "1e36",
]


@pytest.mark.parametrize("seed", range(12))
def test_absurd_numbers(tmp_path: Path, seed: int) -> None:
    """Cells that are not measurements, in any order, some twice, give laws or errors, but no arithmetic warnings."""
    draw = random.Random(seed)
    rows = [[s, shape["patch"], x, e] for shape in PATCHES for s, x, e in curve(shape)]
    for _ in range(draw.choice([3, 20, 100])):
        value = draw.choice(CELLS) if draw.random() < 0.7 else 10 ** draw.uniform(-300, 300)
        draw.choice(rows)[draw.randrange(4)] = value
    rows += rows[: draw.randrange(len(rows))]
    draw.shuffle(rows)
    text = "step,patch,flops,error\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "a.csv").write_text(text)
    report = Report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Fit("a.csv", resamples=0).laws(ask(tmp_path), report)
    assert found or report.errors
    assert report.diagnostics
    assert all(math.isfinite(value) for law in found.values() for value in (law.a, law.b, law.c, law.d))


SPARSE = {
    "zeros.csv": b"",
    "table.csv": b"step,flops,loss\n1,1e15,2.0\n",
    "lines.jsonl": b'{"step": 1, "flops": 1e15, "loss": 2.0}\n',
    "document.json": b'[{"step": 1, "flops": 1e15, "loss": 2.0},\n',
    "trainer_state.json": b'{"log_history": [',
    "a.parquet": b"PAR1",
    "events.out.tfevents.1": b"",
}


@pytest.mark.parametrize(("name", "head"), SPARSE.items())
def test_a_sparse_file_of_a_gibibyte_is_not_read_through(tmp_path: Path, name: str, head: bytes) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(head)
        file.truncate(GIB)
    before = read_bytes()
    with at_most(16):
        assert not read_or_refuse(tmp_path / name)
    assert read_bytes() - before < GIB // 10


def test_a_document_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "LARGEST", 1 << 20)
    (tmp_path / "a.json").write_text("[" + "[]," * (1 << 20) + "[]]")
    with at_most(3), pytest.raises(Unreadable, match="more than 1 MiB; write an object a line"):
        list(open_log(tmp_path / "a.json").rows())
    monkeypatch.undo()
    with at_most(40), pytest.raises(Unreadable, match="more than 1048576 objects or lists"):
        list(open_log(tmp_path / "a.json").rows())


@pytest.mark.parametrize("text", ["x" * (lines.LONGEST + 9), "a,b\n" + "1," * lines.LONGEST])
def test_a_giant_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(Unreadable, match="longer than 1 MiB"):
        list(open_log(tmp_path / "a.csv").rows())


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "trainer_state.json"])
def test_deep_nesting(tmp_path: Path, name: str) -> None:
    text = '{"log_history": ' if name.startswith("trainer") else '{"a": '
    (tmp_path / name).write_text(text + "[" * 200_000 + "]" * 200_000 + "}\n")
    assert not read_or_refuse(tmp_path / name)


def test_a_long_log_is_streamed(tmp_path: Path) -> None:
    """Memory does not grow with the log, except for the points of a run, up to a limit."""
    with (tmp_path / "a.csv").open("w") as file:
        file.write("step,flops,loss,note\n")
        file.writelines(f"{i},{i}e15,{2 + 1 / i},{'x' * 1000}\n" for i in range(1, 80_000))
    assert (tmp_path / "a.csv").stat().st_size > 72 << 20
    with at_most(40):
        assert read_or_refuse(tmp_path / "a.csv")


def test_unlimited_distinct_names(tmp_path: Path) -> None:
    """Unlimited numbers of runs, shapes or columns are refused, or counted together."""
    numbered = "".join(f"{i},{i},{i}e15,2.0\n" for i in range(1, 12_000))
    (tmp_path / "a.csv").write_text("step,seed,flops,loss\n" + numbered)
    with at_most(40):
        assert not read_or_refuse(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("step,patch,flops,loss\n" + numbered)
    with at_most(8):
        found = read_logs(Query("b.csv"), ask(tmp_path, metric="loss@own"), Report())
    assert found is not None
    assert (len(found.other_shapes), found.other_shapes.total()) == (1001, 11_997)
    (tmp_path / "c.jsonl").write_text("".join(f'{{"{i}{"x" * 1000}": 1}}\n' for i in range(9000)))
    with at_most(16):
        assert not read_or_refuse(tmp_path / "c.jsonl")
    path = events(tmp_path / "events.out.tfevents.1", [{"step": 3, **{f"tag{i}": 1.0 for i in range(10_500)}}])
    assert [len(row) for row in open_log(path).rows()] == [10_001, 503]


def test_a_parquet_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    text = "x" * 60_000
    path = parquet(
        tmp_path / "a.parquet",
        [{"step": i, "note": text} for i in range(400)],
        use_dictionary=False,
        compression="zstd",
    )
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(parquet_reader, "UNPACKED", 20 << 20)
    before = pa.default_memory_pool().bytes_allocated()
    with at_most(4), pytest.raises(Unreadable, match="a group of its rows unpacks to 22 MiB"):
        list(open_log(path).rows())
    assert pa.default_memory_pool().bytes_allocated() - before < 4 << 20
    monkeypatch.setattr(parquet_reader, "ROWS", 100)
    with pytest.raises(Unreadable, match="it states 400 rows"):
        list(open_log(path).rows())


def test_a_parquet_text_that_repeats_in_every_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [{"step": i, "note": "x" * 50_000} for i in range(2000)])
    with at_most(8):
        assert sum(1 for _ in open_log(path).rows()) == 2000
    long = parquet(tmp_path / "b.parquet", [{"step": 1, "note": "x" * 70_000}])
    with pytest.raises(Unreadable, match="a text in it is longer"):
        list(open_log(long).rows())


def test_records_that_state_giant_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record's length can be wrong even if its checksum in the file matches."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    head = (1 << 60).to_bytes(8, "little")
    path = events(tmp_path / "events.out.tfevents.1", ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole + head + masked_crc32c(head).to_bytes(4, "little") + b"x" * 100)
    with at_most(8):
        log = open_log(path)
        assert len(list(log.rows())) == len(ROWS)
    assert log.torn
    monkeypatch.setattr(tensorboard_reader, "LARGEST", 1 << 19)
    pictures = record(os.urandom(1 << 20))
    path.write_bytes(whole + pictures * 8 + whole)
    with at_most(4):
        log = open_log(path)
        assert len(list(log.rows())) == 2 * len(ROWS)
    assert (log.torn, log.broken) == (False, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_a_pipe_is_refused_as_a_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(Unreadable, match="not a file"):
        open_log(tmp_path / "a.csv")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/plan.json").write_text('{"stages": [{"shape": {"patch": 8}}], "convention": "flops"}')
    (tmp_path / "run/events.jsonl").write_text(
        '{"event": "measured", "step": 1, "compute": 1e15, "values": {"error": 1}}\n'
    )
    os.mkfifo(tmp_path / "run/data.json")
    found = read_logs(Query("run"), ask(tmp_path), Report())
    assert found is not None
    assert len(found.runs) == 1


def test_file_names_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.csv")
    path.write_text("step,flops,error\n1,1e15,0.5\n")
    report = Report()
    assert read_logs(Query("*.csv"), ask(tmp_path), report) is None
    assert "not UTF-8 text" in str(report.errors[0].at)
