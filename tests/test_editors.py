"""The colours of `.shape` files in editors: the committed files are current, and every word has a colour."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType

import pytest
from colours import FILES, ROOT, rules, scopes

from shapeflow.base.diagnostics import Report, Source
from shapeflow.language.parse import parse, reserved_words
from shapeflow.language.skim import skim

EXTENSION = ROOT / "editors" / "vscode"


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


def test_the_extension_contributes_a_language_and_its_grammar() -> None:
    package = json.loads((EXTENSION / "package.json").read_text())
    # What VS Code requires of a manifest.
    assert re.fullmatch(r"[a-z0-9-]+", package["name"])
    assert re.fullmatch(r"[a-z0-9-]+", package["publisher"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
    assert re.fullmatch(r"\^1\.\d+\.0", package["engines"]["vscode"])
    (language,), (grammar,) = package["contributes"]["languages"], package["contributes"]["grammars"]
    assert language["extensions"] == [".shape"]
    assert grammar["language"] == language["id"]
    rules_of_colours = json.loads((EXTENSION / grammar["path"]).read_text())
    assert rules_of_colours["scopeName"] == grammar["scopeName"]
    assert {name.rpartition(".")[2] for name, _ in rules(rules_of_colours)} == {language["id"]}
    settings = json.loads((EXTENSION / language["configuration"]).read_text())
    assert settings["comments"] == {"lineComment": "#"}
    assert settings["brackets"] == [["(", ")"], ["[", "]"]]
    assert [each["open"] + each["close"] for each in settings["autoClosingPairs"]] == ["()", "[]", '""']
    for path in (grammar["path"], language["configuration"]):
        assert (EXTENSION / path).resolve().is_relative_to(EXTENSION), path


def test_every_word_has_a_colour_and_every_sentence_that_of_its_word(generate: ModuleType) -> None:
    openers, seen = reserved_words().openers, set()
    for path in FILES:
        text = path.read_text(encoding="utf-8-sig")
        report = Report()
        document = parse(Source(str(path), text), report)
        colours = {at: name for start, end, name in scopes(rules(generate.colours()), text) for at in range(start, end)}
        for sentence in document.sentences:
            first = text[: sentence.span.start].rpartition("\n")[2].strip() == ""
            assert not first or colours[sentence.span.start] == "keyword.control.shape", (path, sentence.span.text)
            seen.add(sentence.span.text.split()[0])
        if not report.failed:
            assert [(path, piece) for piece in skim(text) if piece.start not in colours] == []
    assert len(FILES) > 200
    assert seen == openers
