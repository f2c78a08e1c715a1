"""The colours of `.shape` files in editors: the committed files are current, and every word has a colour."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from shapeflow.base.diagnostics import Report, Source
from shapeflow.language.parse import parse, reserved_words
from shapeflow.language.skim import skim

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("examples/**/*.shape"), *ROOT.glob("tests/**/*.shape")])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "editors" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_files_are_current(generate: ModuleType) -> None:
    for path, text in generate.files().items():
        assert path.read_text() == text, "run `python editors/generate.py`"


def scopes(rules: list[tuple[str, re.Pattern[str]]], text: str) -> Iterator[tuple[int, int, str]]:
    """The coloured parts of a text, by the rules of a TextMate grammar that has no nested ones."""
    for line in re.finditer(r"[^\r\n]+", text):
        at = 0
        while True:
            found = [(m.start(), n, m) for n, (_, rule) in enumerate(rules) if (m := rule.search(line[0], at)) and m[0]]
            if not found:
                break
            _, number, match = min(found, key=lambda each: each[:2])
            yield line.start() + match.start(), line.start() + match.end(), rules[number][0]
            at = match.end()


def test_every_word_has_a_colour_and_every_sentence_that_of_its_word(generate: ModuleType) -> None:
    rules = [(each["name"], re.compile(each["match"])) for each in generate.colours()["patterns"]]
    openers, seen = reserved_words().openers, set()
    for path in FILES:
        text = path.read_text(encoding="utf-8-sig")
        report = Report()
        document = parse(Source(str(path), text), report)
        colours = {at: name for start, end, name in scopes(rules, text) for at in range(start, end)}
        for sentence in document.sentences:
            first = text[: sentence.span.start].rpartition("\n")[2].strip() == ""
            assert not first or colours[sentence.span.start] == "keyword.control.shape", (path, sentence.span.text)
            seen.add(sentence.span.text.split()[0])
        if not report.failed:
            assert [(path, piece) for piece in skim(text) if piece.start not in colours] == []
    assert len(FILES) > 200
    assert seen == openers
