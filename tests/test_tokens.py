"""Token files as data: the windows of each step, and files that are refused."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from plans import toy_text_plan
from safetensors.torch import load_file
from sources import TEXTS
from sources import refused as mistakes
from torch_tools import CPU

from shapeflow.api import run
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.data import bins
from shapeflow.data.bins import Header, digest_of, dtype_for
from shapeflow.data.tokens import Tokens
from shapeflow.ir import plan_json
from shapeflow.ir.edits import EditError
from shapeflow.ir.events import Event, StepDone
from shapeflow.ir.plan import Plan
from shapeflow_torch.data import open_data
from shapeflow_torch.data.tokens import mapped
from shapeflow_torch.data.windows import Windows, gather

COUNT, HELD_OUT = 40_000, 4_000


def write(path: Path, ids: np.ndarray[Any, Any], vocabulary: int, **fields: Any) -> Header:
    dtype = dtype_for(vocabulary)
    path.write_bytes(ids.astype({"uint16": "<u2", "uint32": "<u4"}[dtype]).tobytes())
    about = {"tokenizer": "toy", "tokenizer_sha256": None, "end_of_document": 0, "documents": 1}
    apart = {"held_out": HELD_OUT, "held_out_by": "tail", "held_out_documents": 0}
    known = {"dtype": dtype, "count": len(ids), "vocabulary": vocabulary, "sha256": digest_of(path)}
    header = Header(**{**known, **about, **apart, **fields})
    path.with_suffix(".json").write_text(header.json())
    return header


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus in which each id occurs once, so that a window identifies its position."""
    write(tmp_path / "corpus.bin", np.arange(COUNT), COUNT)
    return tmp_path


def plan_on(folder: Path, **settings: Any) -> Plan:
    return toy_text_plan(data=Tokens("corpus.bin", batch=256, **settings).found_in(folder), model={"width": 8})


def opened(folder: Path, **settings: Any) -> Windows:
    data = open_data(plan_on(folder, **settings), folder, CPU)
    assert isinstance(data, Windows)
    return data


def refused(act: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.diagnostics[0]


def told(folder: Path) -> str:
    """The reason why the corpus cannot be opened."""
    found = refused(lambda: open_data(PLAN, folder, CPU))
    assert found.code == "broken-tokens", found
    return found.notes[0] if found.message.startswith("`") else found.message


def placed(width: int = 8) -> Plan:
    data = Tokens("corpus.bin", batch=256, vocabulary=COUNT, end_of_document=0)
    return toy_text_plan(data=data, model={"width": width})


PLAN = placed()


def test_the_header_alone_gives_the_facts(corpus: Path) -> None:
    (corpus / "corpus.bin").unlink()
    facts = Tokens("corpus.bin", batch=128).found_in(corpus).facts()
    assert (facts.kind, facts.vocabulary, facts.separator, facts.batch) == ("text", COUNT, 0, 128)


def test_windows_are_a_function_of_seed_and_step(corpus: Path) -> None:
    data, again = opened(corpus), opened(corpus)
    inputs, targets = data.batch(3, 7, 0, 16, 64, slice(0, 16))
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs, inputs[:, :1] + torch.arange(64))
    again.batch(3, 6, 0, 16, 32, slice(0, 16))
    assert torch.equal(inputs, again.batch(3, 7, 999, 16, 64, slice(0, 16))[0])
    assert not torch.equal(inputs, data.batch(3, 8, 0, 16, 64, slice(0, 16))[0])
    assert not torch.equal(inputs, data.batch(4, 7, 0, 16, 64, slice(0, 16))[0])
    parts = [data.batch(3, 7, 0, 16, 64, slice(rank, 16, 4))[0] for rank in range(4)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), inputs)


def test_held_out_tokens_are_in_no_training_window(corpus: Path) -> None:
    data = opened(corpus)
    for context in (16, 64, 100):
        for step in range(50):
            assert int(data.batch(0, step, 0, 200, context, slice(0, 200))[1].max()) < COUNT - HELD_OUT
        held_out = [x for x, *_ in data.held_out(context, 0, 1)]
        assert min(int(x.min()) for x in held_out) >= COUNT - HELD_OUT
    data = opened(corpus, order="drawn")
    ends = [int(data.batch(0, step, 0, 2_000, 64, slice(0, 2_000))[1].max()) for step in range(200)]
    assert max(ends) == COUNT - HELD_OUT - 1
    wider = opened(corpus, held_out=0.25)
    assert wider.describe()["held_out_tokens"] == 10_000
    assert int(wider.batch(0, 0, 0, 2_000, 64, slice(0, 2_000))[1].max()) < 30_000


@pytest.mark.parametrize("vocabulary", [65_536, 65_537])
def test_the_highest_id_of_each_kind_is_read(tmp_path: Path, vocabulary: int) -> None:
    header = write(tmp_path / "corpus.bin", np.full(COUNT, vocabulary - 1), vocabulary)
    inputs, _ = opened(tmp_path).batch(0, 0, 0, 4, 16, slice(0, 4))
    assert inputs.unique().tolist() == [vocabulary - 1]
    assert header.dtype == ("uint16" if vocabulary == 65_536 else "uint32")


def test_a_file_larger_than_memory_opens_at_once(tmp_path: Path) -> None:
    """A sparse file of 9 GB holds more than 2^32 tokens; only the windows in use are read."""
    count, mark = 4_500_000_000, 123
    path = tmp_path / "corpus.bin"
    with path.open("wb") as file:
        file.truncate(2 * count)
        file.seek(2 * (count - 2 * HELD_OUT))
        file.write(np.full(2 * HELD_OUT, mark, "<u2").tobytes())
    header = write(tmp_path / "small.bin", np.zeros(HELD_OUT, int), 200)
    large = attrs.evolve(header, count=count, held_out=HELD_OUT)
    path.with_suffix(".json").write_text(large.json())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = opened(tmp_path)
    assert int(data.batch(0, 0, 0, 100, 16, slice(0, 100))[0].sum()) == 0
    assert all(bool((x == mark).all()) for x, *_ in data.held_out(64, 0, 1))
    last = gather(mapped(path, large), np.array([count - 2 * HELD_OUT - 1]), 3)
    assert last.tolist() == [[0, mark, mark]]
    assert data.describe()["training_tokens"] == count - HELD_OUT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_files_that_are_not_what_their_header_says(corpus: Path) -> None:
    path = corpus / "corpus.bin"
    whole = path.read_bytes()
    for torn in (whole[:-2], whole[:-1], whole + b"\0\0", b""):
        path.write_bytes(torn)
        assert told(corpus) == f"it has {len(torn)} bytes, and its header states 80000 bytes (40000 x uint16)"
    path.write_bytes(b"\1" + whole[1:])
    assert told(corpus) == "its digest differs from the one in the header: one of the two files was changed"
    path.write_bytes(whole)
    opened(corpus)
    path.unlink()
    assert refused(lambda: open_data(PLAN, corpus, CPU)).code == "data-missing"
    (corpus / "corpus.json").unlink()
    assert refused(lambda: open_data(PLAN, corpus, CPU)).code == "data-missing"


LIES: dict[str, tuple[Any, str]] = {
    "format": ("mine", "`format` is not shapeflow-tokens"),
    "version": (2, "version 2 of the format, and this version of shapeflow reads version 1"),
    "dtype": ("int8", "`dtype` is not uint16 or uint32"),
    "count": (-1, "`count` is not a whole number of 0 or more"),
    "vocabulary": (70_000, "a vocabulary of 70000 does not fit into uint16"),
    "end_of_document": (COUNT, "`end_of_document` is 40000, in a vocabulary of 40000"),
    "held_out": ({"tokens": 50_000, "by": "tail", "documents": 0}, "50000 of 40000 tokens are held out"),
    "documents": (True, "`documents` is not a whole number of 0 or more"),
    "tokenizer": ("toy", "`tokenizer` is not a JSON object"),
    "sha256": ("00", "`sha256` is not a SHA-256"),
    "colour": ("red", "`colour` is an unknown field"),
}


@pytest.mark.parametrize("name", LIES)
def test_headers_with_wrong_values(corpus: Path, name: str) -> None:
    beside = corpus / "corpus.json"
    value = json.loads(beside.read_text())
    wrong, why = LIES[name]
    beside.write_text(json.dumps({**value, name: wrong}))
    assert told(corpus) == f"corpus.json: {why}"
    if name in value:
        del value[name]
        beside.write_text(json.dumps(value))
        assert told(corpus) == f"corpus.json: `{name}` is missing"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=["empty", "torn", "list", "bytes", "deep"]
)
def test_invalid_headers(corpus: Path, text: bytes) -> None:
    (corpus / "corpus.json").write_bytes(text)
    assert told(corpus).startswith("corpus.json")


def test_ids_beyond_the_vocabulary(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is not hashed: opening it checks samples of its ids, and each step checks its own batch."""
    monkeypatch.setattr(bins, "SMALL", 0)
    path = corpus / "corpus.bin"
    ids = np.fromfile(path, "<u2")
    path.write_bytes(np.where(ids < 36_000, ids, 50_000).astype("<u2").tobytes())
    assert told(corpus) == "it holds the token 50000, in a vocabulary of 40000"
    monkeypatch.setattr("shapeflow_torch.data.tokens.SAMPLES", 1)
    monkeypatch.setattr("shapeflow_torch.data.tokens.LENGTH", 16)
    assert told(corpus) == "the data has the token 50000, in a vocabulary of 40000"
    path.write_bytes(np.where(ids == 20_000, 50_000, ids).astype("<u2").tobytes())
    data = opened(corpus)
    found = refused(lambda: [data.batch(0, step, 0, 500, 64, slice(0, 500)) for step in range(20)])
    assert found.code == "broken-tokens"


def test_another_tokenizer_than_the_plan_was_compiled_for(corpus: Path) -> None:
    plan = placed()
    open_data(plan, corpus, CPU)
    write(corpus / "corpus.bin", np.arange(COUNT), COUNT + 1)
    found = refused(lambda: open_data(plan, corpus, CPU))
    assert (found.code, found.notes) == ("other-tokens", ("its header says `vocabulary`: 40001",))
    write(corpus / "corpus.bin", np.arange(COUNT), COUNT, end_of_document=None)
    assert refused(lambda: open_data(plan, corpus, CPU)).code == "other-tokens"


def test_a_file_is_not_needed_where_its_vocabulary_is_set(tmp_path: Path) -> None:
    facts = Tokens("corpus.bin", vocabulary=50_257, end_of_document=50_256).found_in(tmp_path).facts()
    assert (facts.vocabulary, facts.separator) == (50_257, 50_256)
    with pytest.raises(EditError, match="data-missing"):
        Tokens("corpus.bin").found_in(tmp_path)
    with pytest.raises(EditError, match="data-missing"):
        Tokens("corpus.json").found_in(tmp_path)


def test_a_context_longer_than_the_data(corpus: Path) -> None:
    write(corpus / "corpus.bin", np.arange(COUNT), COUNT, held_out=60)
    assert Tokens("corpus.bin").longest(corpus) == 59
    assert Tokens("corpus.bin", held_out=0.5).longest(corpus) == COUNT // 2 - 1
    assert Tokens("nowhere.bin").longest(corpus) is None
    found = refused(lambda: opened(corpus))
    assert (found.code, found.help) == ("context-too-long", "use contexts up to 59 tokens, or a longer text")
    for count, held_out in ((COUNT, 0), (0, 0)):
        write(corpus / "corpus.bin", np.arange(count), COUNT, held_out=held_out)
        assert refused(lambda: opened(corpus)).code == "context-too-long"


SHAPE = """\
plan "tokens"

model      transformer(depth: 1, width: 16, head_width: 8)
data       tokens("corpus.bin", batch: 64 tokens)
objective  next_token

axis context in [16, 32] tokens
  via context_grow

stage (context: 16 tokens) until 50%
stage (context: 32 tokens) until end

budget     8 steps
checkpoint every 2 steps
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a text file, its tokens and a `.shape` file."""
    words = "".join(f'{{"text": "line {number} of a text, and more of it"}}\n' for number in range(400))
    (tmp_path / "corpus.jsonl").write_text(words)
    (tmp_path / "toy.shape").write_text(SHAPE)
    arguments = [str(tmp_path / "corpus.jsonl"), "-o", str(tmp_path / "corpus.bin"), "--tokenizer", "bytes"]
    assert answer(["tokenize", *arguments, "--held-out", "5%"]) == 0
    return tmp_path


def test_two_commands_lead_from_a_text_to_a_run(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["run", str(made / "toy.shape"), "-o", str(made / "run"), "--device", "cpu", "--quiet"]) == 0
    about = json.loads((made / "run" / "data.json").read_text())
    assert about["bin_sha256"] == digest_of(made / "corpus.bin")
    assert about["training_tokens"] + about["held_out_tokens"] == (made / "corpus.bin").stat().st_size // 2
    settings = plan_json.load(made / "run" / "plan.json").data
    assert settings is not None
    assert (settings.settings["vocabulary"], settings.settings["end_of_document"]) == (257, 256)
    assert plan_json.load(made / "run" / "plan.json").stages[0].sizes["vocabulary"] == 257
    capsys.readouterr()


def test_a_resumed_run_gives_the_same_bits(made: Path) -> None:
    plan = compile_file(made / "toy.shape")

    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    whole, broken = made / "whole", made / "broken"
    run(plan, whole, root=made, device="cpu")
    ended = run(plan, broken, root=made, device="cpu", listen=stop)
    assert ended is not None
    assert not ended.finished
    run(plan, broken, root=made, device="cpu", resume=True)
    ends = [load_file(each / "checkpoints/step-000000008/model.safetensors") for each in (whole, broken)]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_another_split_is_different_data(made: Path) -> None:
    plan = compile_file(made / "toy.shape")

    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run(plan, made / "run", root=made, device="cpu", listen=stop)
    header = json.loads((made / "corpus.json").read_text())
    header["held_out"]["tokens"] += 40
    (made / "corpus.json").write_text(json.dumps(header))
    found = refused(lambda: run(plan, made / "run", root=made, device="cpu", resume=True))
    assert found.code == "data-changed"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ('tokens("", vocabulary: 5)', "data-missing"),
        ('tokens(".", vocabulary: 5)', "data-missing"),
        ('tokens("x", vocabulary: 4)', "data-missing"),
        ('tokens("x.bin", vocabulary: 4, end_of_document: 9)', "out-of-range"),
        ('tokens("x.bin", vocabulary: 4, end_of_document: 4)', "out-of-range"),
    ],
)
def test_settings_that_no_file_could_have(written: str, code: str, tmp_path: Path) -> None:
    (one,) = mistakes(tmp_path, TEXTS, f"data {written}")
    assert one.code == code
    assert one.at is not None
