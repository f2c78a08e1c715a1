"""`shapeflow generate`: the continuation of a text by the model of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from torch_tools import CPU

from shapeflow.api import run
from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.ir.plan import Plan
from shapeflow.tokenize.spelling import AS_BYTES, Spelling, spelling_of
from shapeflow_torch.export import gathered
from shapeflow_torch.frozen import frozen
from shapeflow_torch.generate import generate

PROMPT = [*b"def f(self, other):\n    return"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A run that denoises in its second stage, so that its vocabulary has marks, at contexts of 16, then 32."""
    folder = tmp_path_factory.mktemp("generate") / "run"
    legs = (({"context": 16, "loss": "next_token"}, 2), ({"context": 32, "loss": "denoising"}, 2))
    plan = toy_text_plan(legs, held_out=512)
    run(plan, folder, device="cpu")
    return plan, folder


def test_the_likeliest_tokens_are_those_of_the_model(made: tuple[Plan, Path]) -> None:
    plan, folder = made
    found = generate(plan, folder, PROMPT, 6, temperature=0)
    net, ids = frozen(*gathered(plan, folder), CPU, torch.float32), list(PROMPT)
    for _ in range(6):
        ids.append(int(net(torch.tensor([ids[-32:]]))[0, -1, :256].argmax()))
    assert (found.step, found.ids, found.ended) == (4, tuple(ids[-6:]), False)
    (first, *_) = found.ids
    ended = generate(plan, folder, PROMPT, 6, temperature=0, end=first)
    assert (ended.ids, ended.ended) == ((), True)


def test_draws_follow_the_seed_and_the_temperature(made: tuple[Plan, Path]) -> None:
    plan, folder = made
    drawn = [generate(plan, folder, PROMPT, 12, seed=seed).ids for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert max(generate(plan, folder, PROMPT, 200, temperature=1e6).ids) < 256, "marks are never drawn"
    greedy = generate(plan, folder, PROMPT, 4, temperature=0).ids
    assert generate(plan, folder, PROMPT, 4, temperature=1e-300).ids == greedy


def test_the_command(made: tuple[Plan, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """What an untrained model writes is full of control characters, and none reaches the terminal."""
    _, folder = made
    assert answer(["generate", str(folder), "def f(\x1b[31m", "--tokens", "60", "--temperature", "3"]) == 0
    said = capfd.readouterr()
    assert said.out.startswith("def f(\N{SYMBOL FOR ESCAPE}[31m")
    assert all(character == "\n" or character.isprintable() for character in said.out)
    assert said.err.startswith("averaged weights after step 4 of 4: ")
    assert answer(["generate", str(folder), "a", "--temperature", "nan"]) == 2
    # Bytes that are not UTF-8 arrive as they are on a command line.
    assert answer(["generate", str(folder), "a\udcff", "--tokens", "1"]) == 0


def test_a_prompt_of_nothing(
    made: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model begins a document, if the data has ends of documents."""
    _, folder = made
    assert answer(["generate", str(folder), "", "--tokens", "3"]) == 0
    monkeypatch.setitem(AS_BYTES, "python_source", None)
    assert answer(["generate", str(folder), ""]) == 1
    assert "no-prompt" in capsys.readouterr().err


def test_runs_that_have_no_text(made: tuple[Plan, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(toy_image_plan((({}, 1),)), tmp_path / "images", device="cpu")
    assert answer(["generate", str(tmp_path / "images"), "a"]) == 1
    assert "not-text" in (said := capsys.readouterr().err)
    assert "trained a `vit`" in said
    _, folder = made
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    for make in (False, True):
        if make:
            (tmp_path / "run/checkpoints").mkdir()
        assert answer(["generate", str(tmp_path / "run"), "a"]) == 1
        assert "no-checkpoint" in (said := capsys.readouterr().err)
        assert "--resume" in said
    assert answer(["generate", str(tmp_path / "none"), "a"]) == 1


def test_the_tokenizer_of_a_run(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"once": 0, "upon": 1, "a": 2, "time": 3, "?": 4, "</s>": 5}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    file = tmp_path / "tokenizer.json"
    made.save(str(file))
    settings = {"path": "a.bin", "end_of_document": 5}
    first = spelling_of("tokens", settings, {"tokenizer": "tokenizer.json"}, file)
    assert (first.ids("once upon\udcff time"), first.end) == ([0, 1, 4, 3], 5)
    assert first.text([0, 3, 5]) == "once time </s>"
    about = {"tokenizer": "tokenizer.json", "tokenizer_sha256": "0" * 64}
    for data, said, given in (
        ("tokens", about, None),
        ("tokens", about, file),
        ("tokens", {}, None),
        ("python_source", {}, file),
        ("tokens", {"tokenizer": "bytes"}, file),
    ):
        with pytest.raises(Refused, match="other-tokenizer"):
            spelling_of(data, settings, said, given)
    assert spelling_of("tokens", {"end_of_document": 256}, {"tokenizer": "bytes"}, None) == Spelling(256)
    assert Spelling(256).text([104, 256, 105, 0xFF]) == "hi\ufffd"
