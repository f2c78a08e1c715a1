"""`shapeflow tokenize`: the tokens of documents, and that failures leave no partial files."""

from __future__ import annotations

import errno
import gzip
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli import answer
from shapeflow.data.bins import Header, check_file, dtype_for, read_header
from shapeflow.tokenize import Choice, Made, drawn, tokenize, writer
from shapeflow.tokenize.encoders import Bytes, encoder
from shapeflow.tokenize.pieces import Tally, document, in_pieces
from shapeflow.tokenize.writer import Writer, split

WORDS = "the cat sat on the mat; the dog sat on the log; a cat and a dog, a mat and a log\n"


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer with 300 ids. Its file sets a truncation, which `tokenize` must ignore."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([WORDS], trainer)
    made.enable_truncation(3)
    path = tmp_path_factory.mktemp("learnt") / "tokenizer.json"
    made.save(str(path))
    return path


def make(*sources: Path, to: Path, end: str | None = None, held_out: float = 0.0, **choice: str) -> Made:
    return tokenize(sources, to, encoder("bytes", end), Choice(**choice), held_out)


def refused(*sources: Path, to: Path, **choice: str) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        make(*sources, to=to, **choice)
    return caught.value.diagnostics[0]


def ids(path: Path) -> list[int]:
    header = read_header(path)
    check_file(path, header, whole=True)
    found: list[int] = np.fromfile(path, {"uint16": "<u2", "uint32": "<u4"}[header.dtype]).tolist()
    return found


def documents(path: Path) -> list[str]:
    """The documents in a file of tokens that are bytes."""
    header, found, held = read_header(path), [], bytearray()
    for token in ids(path):
        if token == header.end_of_document:
            found.append(held.decode())
            held.clear()
        else:
            held.append(token)
    assert not held
    return found


def add(path: Path, members: dict[str, bytes], mode: Any = "w") -> None:
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def save(folder: Path, *parts: list[str | None]) -> None:
    """Save a data set as `datasets` 5.2 does: Arrow streams, and a `state.json` that lists them in order."""
    folder.mkdir()
    names = [f"data-{number:05d}-of-{len(parts):05d}.arrow" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        table = pa.table({"id": list(range(len(part))), "text": pa.array(part, pa.string())})
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")


def test_every_kind_of_source_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").write_text("no")
    (folder / "a.txt").write_bytes("\ufeffäß\r\n".encode())
    (folder / "b.jsonl").write_text('{"text": "one"}\n\n{"text": "two", "more": 1}\n')
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n'))
    pq.write_table(pa.table({"text": ["four", None, "five"], "n": [1, 2, 3]}), folder / "d.parquet")
    add(folder / "e.tar", {"0.txt": b"six", "0.jpg": b"\xff", "0.pyd": b"cposix\nsystem\n", "1.txt": b"seven"})
    add(folder / "f.tar.gz", {"0.txt": b"eight"}, "w:gz")
    (folder / "sub" / "g.md").write_text("nine")
    (folder / "sub" / "h.png").write_bytes(b"\x89PNG\xff")
    save(tmp_path / "saved", ["ten", ""], ["eleven", None])
    first = make(folder, tmp_path / "saved", to=tmp_path / "one.bin")
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
    assert documents(tmp_path / "one.bin") == ["äß\r\n", *numbers]
    assert first.header.documents == 12
    assert first.text == first.header.count - 12
    assert first.bytes_per_token == 1
    assert first.dropped == {
        "no text in the column": 2,
        ".jpg member: no text": 1,
        ".pyd member: pickled, never read": 1,
        "not UTF-8 text": 1,
        "empty": 1,
    }
    again = make(folder, tmp_path / "saved", to=tmp_path / "again.bin")
    assert again == first
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()
    assert (tmp_path / "one.json").read_text() == (tmp_path / "again.json").read_text()
    make(folder, to=tmp_path / "md.bin", files="*.md")
    assert documents(tmp_path / "md.bin") == ["nine"]


def test_lines_that_are_not_documents_are_counted(tmp_path: Path) -> None:
    lines = ['{"body": "kept"}', "no", "[1]", '{"text": "x"}', '{"body": 3}', '{"body": "\\ud800"}', "[" * 10_000]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    made = make(tmp_path / "a.jsonl", to=tmp_path / "a.bin", column="body")
    assert documents(tmp_path / "a.bin") == ["kept"]
    assert sum(made.dropped.values()) == 6


def test_a_tokenizer_encodes_every_document_as_the_library_does(tmp_path: Path, learnt: Path) -> None:
    texts = [WORDS * 3, "unseen: äöü 漢字 \x00", "a<|endoftext|>b", " "]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path = tmp_path / "a.bin"
    made = tokenize([tmp_path / "a.jsonl"], path, encoder(str(learnt), None), Choice(), 0.0)
    library = Tokenizer.from_file(str(learnt))
    library.no_truncation()
    library.encode_special_tokens = True
    end = library.token_to_id("<|endoftext|>")
    expected = [token for text in texts for token in [*library.encode(text).ids, end]]
    found = ids(path)
    assert found == expected
    # The text of the end-of-document token inside a document does not end the document.
    assert found.count(end) == len(texts) == made.header.documents
    assert library.decode(found, skip_special_tokens=False) == "".join(text + "<|endoftext|>" for text in texts)
    assert (made.header.vocabulary, made.header.dtype, made.header.tokenizer) == (
        library.get_vocab_size(),
        "uint16",
        "tokenizer.json",
    )
    assert made.bytes_per_token == len("".join(texts).encode()) / (len(expected) - len(texts))
    assert encoder(str(learnt.parent), "none").end is None
    assert encoder(str(learnt), "270").end == 270


@pytest.mark.parametrize(("end", "vocabulary"), [(None, 257), ("0", 256), ("10", 256), ("256", 257), ("none", 256)])
def test_what_ends_a_document_of_bytes(tmp_path: Path, end: str | None, vocabulary: int) -> None:
    (tmp_path / "a.txt").write_text("ab")
    header = make(tmp_path / "a.txt", to=tmp_path / "a.bin", end=end).header
    wanted = {None: 256, "none": None}.get(end, end)
    assert header.vocabulary == vocabulary
    assert header.end_of_document == (None if wanted is None else int(wanted))
    assert ids(tmp_path / "a.bin") == [97, 98, *([] if wanted is None else [int(wanted)])]


@pytest.mark.parametrize(("vocabulary", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_highest_id_fits(tmp_path: Path, vocabulary: int, dtype: str) -> None:
    path = tmp_path / "a.bin"
    with Writer(path, dtype_for(vocabulary)) as made:
        made.write(np.array([0, vocabulary - 1], np.uint32), apart=False)
        made.end(None, apart=False)
        header = made.finish(0.0, vocabulary=vocabulary, tokenizer="x", tokenizer_sha256=None, end_of_document=None)
    assert header == read_header(path)
    assert header.dtype == dtype
    assert ids(path) == [0, vocabulary - 1]


@given(st.text(st.sampled_from("ab \n漢"), max_size=200), st.integers(1, 9))
def test_pieces_are_the_document(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shapeflow.tokenize.pieces.PIECE", size)
        found = list(document(text, Tally()))
    assert "".join(piece.text for piece in found) == text
    assert all(0 < len(piece.text) <= size for piece in found)
    assert [piece.first for piece in found] == [True] * bool(text) + [False] * (len(found) - 1)
    assert [piece.last for piece in found] == [False] * (len(found) - 1) + [True] * bool(text)


def test_pieces_are_cut_between_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapeflow.tokenize.pieces.PIECE", 8)
    assert [piece.text for piece in in_pieces(["one\ntwo\nthr", "ee four five"])] == [
        "one\ntwo\n",
        "three",
        " four",
        " five",
    ]


def test_a_long_text_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapeflow.tokenize.pieces.PIECE", 100)
    monkeypatch.setattr("shapeflow.tokenize.sources.CHUNK", 64)
    (tmp_path / "a.txt").write_text(WORDS * 40)
    sizes: list[int] = []
    encode = Bytes.encode
    monkeypatch.setattr(Bytes, "encode", lambda self, texts: (sizes.extend(map(len, texts)), encode(self, texts))[1])
    made = make(tmp_path / "a.txt", to=tmp_path / "a.bin")
    assert documents(tmp_path / "a.bin") == [WORDS * 40]
    assert made.header.documents == 1
    assert max(sizes) <= 100


def test_held_out_documents_are_at_the_end(tmp_path: Path) -> None:
    texts = [f"document {number} " + "x" * (number % 7) for number in range(2_000)]
    for name, order in (("a", texts + texts[:100]), ("b", texts[::-1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in order))
    made = [make(tmp_path / f"{n}.jsonl", to=tmp_path / f"{n}.bin", held_out=0.1).header for n in "ab"]
    apart = []
    for name, header in zip("ab", made, strict=True):
        found = documents(tmp_path / f"{name}.bin")
        last = found[len(found) - header.held_out_documents :]
        assert header.held_out_by == "documents"
        assert header.held_out == sum(len(text) + 1 for text in last)
        assert 0.07 < header.held_out / header.count < 0.13
        assert set(last).isdisjoint(found[: len(found) - header.held_out_documents])
        assert all(drawn(text, 0.1) for text in last)
        apart.append(set(last))
    assert apart[0] == apart[1]


def test_few_documents_have_their_end_held_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 999)
    header = make(tmp_path / "a.txt", to=tmp_path / "a.bin", held_out=0.1).header
    assert (header.count, header.held_out, header.held_out_by, header.held_out_documents) == (1_000, 100, "tail", 0)


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 10**12), st.floats(0, 1), st.floats(0, 0.5))
def test_approximately_the_share_is_held_out(count: int, part: float, share: float) -> None:
    held_out, by = split(count, int(count * part), share)
    assert (held_out == 0) == (share == 0)
    assert by == "documents" or held_out == (max(1, round(count * share)) if share else 0)
    assert 0.5 * round(count * share) <= held_out <= 2 * max(1, round(count * share))


def test_truncated_sources_leave_no_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a" * 100] * 100}), tmp_path / "a.parquet")
    add(tmp_path / "b.tar", {"0.txt": b"x" * 20_000})
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n' * 1_000))
    save(tmp_path / "d", ["one"] * 100)
    arrow = tmp_path / "d" / "data-00000-of-00001.arrow"
    for path in (*tmp_path.glob("*.*"), arrow):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("a.parquet", "b.tar", "c.jsonl.gz", "d"):
        assert refused(tmp_path / name, to=tmp_path / "out" / "x.bin").code == "cannot-read", name
    (tmp_path / "d" / "state.json").write_text('{"_data_files": 3}')
    assert refused(tmp_path / "d", to=tmp_path / "out" / "x.bin").code == "cannot-read"
    (tmp_path / "e").mkdir()
    assert refused(tmp_path / "e", to=tmp_path / "out" / "x.bin").code == "no-text"
    assert list((tmp_path / "out").iterdir()) == []


def test_columns_that_are_missing_or_not_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x"], "n": [1], "many": [["a"]]}), tmp_path / "a.parquet")
    save(tmp_path / "saved", ["x"])
    for path, column in (("a.parquet", "txt"), ("a.parquet", "n"), ("a.parquet", "many"), ("saved", "body")):
        found = refused(tmp_path / path, to=tmp_path / "x.bin", column=column)
        assert found.code == "missing-column"
        assert any("its columns: " in note for note in found.notes)


def test_a_data_set_with_splits_names_them(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    save(tmp_path / "all" / "train", ["x"])
    found = refused(tmp_path / "all", to=tmp_path / "x.bin")
    assert (found.code, found.help) == ("no-text", f"name one of them: {tmp_path / 'all' / 'train'}")
    make(tmp_path / "all" / "train", to=tmp_path / "x.bin")


def test_no_file_is_replaced_and_a_full_disk_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")
    out = tmp_path / "out"
    for there in ("a.bin", "a.json"):
        out.mkdir(exist_ok=True)
        (out / there).write_text("mine")
        assert refused(tmp_path / "a.txt", to=out / "a.bin").code == "tokens-exist"
        assert (out / there).read_text() == "mine"
        (out / there).unlink()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(writer.os, "fsync", full)
    assert refused(tmp_path / "a.txt", to=out / "a.bin").code == "disk-full"
    assert list(out.iterdir()) == []
    assert refused(tmp_path / "a.txt", to=tmp_path / "a.txt" / "a.bin").code == "cannot-write"


def test_packages_that_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learnt: Path) -> None:
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "a.parquet")
    for name in ("pyarrow", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    found = refused(tmp_path / "a.parquet", to=tmp_path / "x.bin")
    assert (found.code, found.help) == ("missing-extra", "`pip install 'shapeflow[data]'`")
    with pytest.raises(Refused, match="missing-extra"):
        encoder(str(learnt), None)


def test_a_tokenizer_without_an_end_of_document(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for tokens in ({"a": 0}, {"a": 0, "</s>": 1, "<eos>": 2}):
        Tokenizer(models.WordLevel(tokens, unk_token="a")).save(str(path))
        with pytest.raises(Refused) as caught:
            encoder(str(path), None)
        assert caught.value.diagnostics[0].code == "unknown-token"
    assert encoder(str(path), "<eos>").end == 2
    with pytest.raises(Refused, match="unknown-token"):
        encoder(str(path), "3")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAAAAAA"}),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}),
    ],
)
def test_a_tokenizer_that_makes_the_library_panic(
    tmp_path: Path, learnt: Path, part: str, value: object, capfd: pytest.CaptureFixture[str]
) -> None:
    """A panic of the library is not an `Exception`, and writes a trace to stderr. Some come only as text is encoded."""
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(learnt.read_text()), part: value}))
    with pytest.raises(Refused) as caught:
        encoder(str(path), None)
    assert caught.value.diagnostics[0].code == "no-tokenizer"
    assert capfd.readouterr().err == ""


def test_an_end_of_thousands_of_digits(learnt: Path) -> None:
    for tokenizer in ("bytes", str(learnt)):
        with pytest.raises(Refused, match="unknown-token"):
            encoder(tokenizer, "9" * 5_000)


def test_the_command_reports_its_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": ""}\n')
    arguments = ["tokenize", str(tmp_path / "a.jsonl"), "--tokenizer", "bytes", "--held-out", "50%", "-o"]
    assert answer([*arguments, str(tmp_path / "a.bin"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["count"], told["documents"], told["left_out"], told["text_bytes"]) == (4, 1, {"empty": 1}, 3)
    assert answer([*arguments, str(tmp_path / "b.bin")]) == 0
    assert "1 x empty" in capsys.readouterr().out
    assert answer(["show", str(tmp_path / "b.bin"), "--verify"]) == 0
    assert "the digest matches the header" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "b.bin").write_bytes(b"\x01\x00" * 4)
    assert answer(["show", str(tmp_path / "b.bin")]) == 1
    assert "error[broken-tokens]" in capsys.readouterr().err
    for wrong in (["c.txt"], ["c.bin", "--held-out", "60%"], ["c.bin", "--held-out", "some"]):
        assert answer([*arguments, *wrong]) == 2


def stop(*_: object) -> Iterator[None]:
    raise KeyboardInterrupt


def test_an_interrupt_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(Bytes, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a.txt", to=tmp_path / "out" / "a.bin")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_header_is_read_as_it_was_written() -> None:
    from shapeflow.data.bins import header_of

    header = Header("uint32", 2**33, 70_000, "tok.json", "0" * 64, 0, 9, 100, "documents", 1, "f" * 64)
    assert header_of(json.loads(header.json())) == header
