"""Inputs that are larger than they look, and inputs without an end."""

from __future__ import annotations

import gc
import gzip
import io
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path

import pytest

import shapeflow
from shapeflow.base.bounds import BOUNDS, bound
from shapeflow.base.diagnostics import Refused, Report, Source
from shapeflow.base.files import read_text
from shapeflow.cli import answer
from shapeflow.ir.decks import hand, sum_of_decks
from shapeflow.ir.parameters import divisors
from shapeflow.language.parse import parse
from shapeflow.tokenize.encoders import encoder
from shapeflow.tokenize.pieces import Tally
from shapeflow.tokenize.shards import shard
from shapeflow.tokenize.sources import Choice, File, stream
from shapeflow_simulator import Simulator

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "show tokens.bin",
    "show endless.bin",
    "show pipe",
    "import pipe -o weights.safetensors",
    "import /dev/zero -o weights.safetensors",
    "compile a.shape --set 'start from \"pipe.safetensors\"'",
    "compile a.shape --set 'objective distill(teacher: \"pipe\")'",
)


def shown(*arguments: str) -> str:
    """What a command prints on stderr."""
    return subprocess.run(
        [sys.executable, "-m", "shapeflow", *arguments], check=False, capture_output=True, text=True
    ).stderr


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", "²"])
def test_a_bound_is_a_whole_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, default in BOUNDS.items():
        assert bound(name) == default
        monkeypatch.setenv(name, text)
        with pytest.raises(Refused, match="wrong-bound"):
            bound(name)
        monkeypatch.setenv(name, "17")
        assert bound(name) == 17


def test_a_pipe_and_a_device_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.shape"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(Refused) as caught:
            read_text(path)
        assert caught.value.diagnostics[0].notes == ("it is not a regular file",)


OPENS = r"""\.open\("rb"|(?<![.\w])(?<!def )open\(|\bread_bytes\(|\.read_text\("""
GUARDED = {
    *("base/files.py", "base/printing.py", "laws/published/records.py", "tokenize/encoders.py"),
    # After `require_readable`, and after `open_log` has seen a regular file.
    *("data/bins.py", "laws/logs/*", "laws/logs/readers/*"),
    *("running/holder.py", "shapeflow_torch/trace.py", "shapeflow_torch/devices.py", "shapeflow_torch/data/digits.py"),
    *("shapeflow_torch/foreign.py", "shapeflow_torch/available.py", "shapeflow_torch/hardware.py"),
}
"""Modules that open files of the package or of the system, or files that they have looked at."""


@pytest.mark.parametrize("text", ["#\n", "modl vit(depth: 2)\n", "let a = 1\n", "1, "])
def test_a_shape_file_has_a_bounded_number_of_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPEFLOW_MOST_WORDS", "5000")
    report = Report()
    parse(Source("big.shape", text * 6_000), report)
    (found,) = report.diagnostics
    assert found.message == "the file has more than 5,000 words, numbers and marks"


def test_files_are_opened_in_one_place() -> None:
    """By `open_regular`, which opens no pipe and no device, or by `read_text`."""
    folders = [ROOT / "shapeflow", ROOT / "backends"]
    paths = [(path, path.relative_to(folder)) for folder in folders for path in sorted(folder.rglob("*.py"))]
    found = [
        name.as_posix()
        for path, name in paths
        if re.search(OPENS, path.read_text()) and not any(name.match(each) for each in GUARDED)
    ]
    assert found == []


@pytest.mark.parametrize("words", COMMANDS)
def test_what_is_no_file_is_not_opened(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "by_hand.shape", "a.shape")
    for name in ("pipe", "tokens.bin", "tokens.json", "pipe.safetensors"):
        os.mkfifo(name)
    Path("endless.bin").touch()
    Path("endless.json").symlink_to("/dev/zero")
    assert answer(shlex.split(words)) == 1
    said = capsys.readouterr().err
    assert "regular file" in said
    assert "bug" not in said


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_tokenizer_is_a_regular_file(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused) as caught:
        encoder(f"{tmp_path / name}", None)
    assert caught.value.diagnostics[0].notes == ("it is not a regular file",)


@pytest.mark.parametrize("arguments", [("compile", "-o"), ("simulate", "--plot")])
def test_an_output_that_is_a_circle_of_links(
    arguments: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop.svg").symlink_to(tmp_path / "loop.svg")
    command, option = arguments
    assert answer([command, "examples/laws_only.shape", option, f"{tmp_path / 'loop.svg'}"]) == 1
    assert "error[cannot-write]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["loop.svg"]


def test_a_large_text_is_read_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.shape"
    path.write_text("# " + "x" * 1000)
    monkeypatch.setenv("SHAPEFLOW_MOST_TEXT_BYTES", "1000")
    with pytest.raises(Refused) as caught:
        read_text(path)
    assert "set `SHAPEFLOW_MOST_TEXT_BYTES`" in caught.value.diagnostics[0].notes[0]
    monkeypatch.setenv("SHAPEFLOW_MOST_TEXT_BYTES", "1002")
    assert len(read_text(path)) == 1002


def test_many_errors_take_linear_time() -> None:
    def once(count: int) -> float:
        begun, report = time.process_time(), Report()
        parse(Source("many.shape", "modl x\n" * count), report)
        assert len(report.diagnostics) == count
        return time.process_time() - begun

    def seconds(count: int) -> float:
        # The garbage of other tests in this process is not part of the work.
        gc.disable()
        try:
            return min(once(count) for _ in range(3))
        finally:
            gc.enable()

    seconds(10)
    assert seconds(4000) < 8 * max(seconds(1000), 0.05)


def test_fifty_errors_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "many.shape"
    path.write_text("modl x\n" * 70)
    said = shown("compile", str(path))
    assert said.count("error[") == 50
    assert "... and 20 more: `--format json` lists all 70" in said
    assert len(shown("compile", str(path), "--format", "json").splitlines()) == 70


def test_a_long_chain_of_lets(tmp_path: Path) -> None:
    path = tmp_path / "chain.shape"
    chain = "".join(f"let a{place} = a{place + 1}\n" for place in range(5000))
    path.write_text(
        chain + "let a5000 = 2\naxis width in [1, a0] via width_expand\ntraversal evenly\nbudget 1 PFLOPs\n"
    )
    assert len(shapeflow.compile(path).stages) == 2


def test_divisors() -> None:
    assert divisors(36) == [1, 2, 3, 4, 6, 9, 12, 18, 36]
    begun = time.process_time()
    assert len(divisors(100_000_000)) == 81
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("shares", [(0.5,), (0.1, 0.25, 0.003), (1 / 3, 1 / 3), (0.0004, 0.9)])
def test_decks_are_summed_as_one_by_one(shares: tuple[float, ...]) -> None:
    costs = (1.1, 3.3e9, 0.7, 5.1)[: len(shares) + 1]
    total = 17.3
    for deck in range(1000):
        total += sum(cards * cost for cards, cost in zip(hand(shares, deck), costs, strict=True))
    assert sum_of_decks(shares, costs, 1000, 17.3) == total


def test_a_tar_member_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "texts.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        member = tarfile.TarInfo("bomb.txt")
        member.size = 5_000_000
        file.addfile(member, io.BytesIO(b" " * member.size))
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "4999999")
    with pytest.raises(OSError, match="5,000,000 bytes"):
        list(shard(path, Tally()))
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "5000000")
    assert list(shard(path, Tally()))


def test_a_line_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "' + b"x" * 100_000 + b'"}\n'))
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "100000")
    file = File(path, path.stat().st_size)
    with pytest.raises(Refused, match="cannot be read"):
        list(stream([file], Choice("text"), Tally()))
    monkeypatch.setenv("SHAPEFLOW_MOST_DOCUMENT_BYTES", "200000")
    assert list(stream([file], Choice("text"), Tally()))


def test_an_image_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from shapeflow_torch.data.image_folder import _Look

    path = tmp_path / "bomb.png"
    path.write_bytes(png(300, 200))
    look = _Look(8, "RGB", False)
    monkeypatch.setenv("SHAPEFLOW_MOST_PIXELS", "59999")
    with pytest.raises(Refused) as caught:
        look(path)
    assert "60,000 pixels" in caught.value.diagnostics[0].notes[0]
    monkeypatch.setenv("SHAPEFLOW_MOST_PIXELS", "60000")
    assert look(path).shape == (3, 8, 8)


def png(width: int, height: int) -> bytes:
    """An image of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * (1 + width * 3) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


MANY_STEPS = """\
model vit(depth: 1, width: 8, head_width: 8)
data digits(batch: 8)
objective cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px)
stage (patch: 4 px) until 50%
stage (patch: 2 px) until end
budget 90000000 steps
"""


def test_a_simulation_takes_no_longer_with_more_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step in each shape of each stage, blended ones included: 90,000,000 would take minutes."""
    stepped = []
    monkeypatch.setattr(Simulator, "step", lambda self, stage, step, compute: stepped.append(compute) or 0.0)
    (tmp_path / "a.shape").write_text(MANY_STEPS)
    assert answer(["simulate", str(tmp_path / "a.shape")]) == 0
    assert len(stepped) == 3
    assert answer(["simulate", str(tmp_path / "a.shape"), "--events"]) == 1
    assert "too-many-steps" in capsys.readouterr().err
    assert len(stepped) == 3
