"""The colours of `.shape` files by `vscode-textmate`, the library that VS Code colours files with.

`npm ci` in `editors/` installs it. The tests are skipped where node or the library is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import peers
import pytest
from colours import FILES, ROOT, rules, scopes

from shapeflow.base.diagnostics import Report, Source, Span
from shapeflow.language.parse import parse, reserved_words
from shapeflow.language.skim import skim
from shapeflow.language.syntax import Component, Number, Setting, Text, Written

EDITORS = ROOT / "editors"

Token = tuple[int, int, tuple[str, ...]]


def tokens(paths: list[Path]) -> dict[Path, list[Token]]:
    """The tokens of files: start, end and scopes. Skips the test if node or its packages are not installed."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    if not (EDITORS / "node_modules" / "vscode-textmate").is_dir():
        peers.lacking("vscode-textmate is not installed: `npm ci` in `editors/`")
    names = "\n".join(str(path) for path in paths)
    command = [node, str(EDITORS / "tokens.mjs")]
    ran = subprocess.run(command, input=names, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    read = json.loads(ran.stdout)
    return {path: [(start, end, tuple(scopes)) for start, end, scopes in read[str(path)]] for path in paths}


@pytest.fixture(scope="module")
def coloured() -> dict[Path, list[Token]]:
    return tokens(FILES)


def by_offset(found: list[Token]) -> dict[int, str]:
    """Offset -> the innermost scope, of what has one in addition to that of the whole file."""
    named = [(start, end, scopes[-1].removesuffix(".shape")) for start, end, scopes in found if scopes[1:]]
    return {at: name for start, end, name in named for at in range(start, end)}


def colours_in(text: str, folder: Path) -> dict[str, str]:
    """Each token of a text without its spaces, and its innermost scope."""
    (folder / "one.shape").write_text(text, encoding="utf-8")
    found = tokens([folder / "one.shape"])[folder / "one.shape"]
    return {text[start:end].strip(): scopes[-1] for start, end, scopes in found if text[start:end].strip()}


def test_scopes_of_a_line_of_each_kind(tmp_path: Path) -> None:
    text = (
        "# two sizes – both small\n"
        'data tokens("ünïcode.bin", batch: 64)\r\n'
        "axis context in [64, 128] tokens via context_grow(preview: 12.5 %)\n"
        "    budget 1.5e-3 EFLOPs # all\n"
        "candidates context where context >= 64\n"
    )
    assert colours_in(text, tmp_path) == {
        "# two sizes – both small": "comment.line.number-sign.shape",
        "# all": "comment.line.number-sign.shape",
        '"ünïcode.bin"': "string.quoted.double.shape",
        **dict.fromkeys(["data", "axis", "budget", "candidates"], "keyword.control.shape"),
        **dict.fromkeys(["in", "via", "where"], "keyword.other.shape"),
        "context_grow": "entity.name.function.shape",
        **dict.fromkeys(["batch", "preview"], "variable.parameter.shape"),
        **dict.fromkeys(["64", "128", "12.5 %", "1.5e-3"], "constant.numeric.shape"),
        **dict.fromkeys(["context", "tokens", "EFLOPs"], "variable.other.shape"),
        ">=": "keyword.operator.shape",
        **dict.fromkeys(["(", ")", "[", "]", ",", ":"], "punctuation.shape"),
    }


def nodes(value: object) -> Iterator[Written]:
    """All nodes of a syntax tree."""
    if isinstance(value, tuple):
        for each in value:
            yield from nodes(each)
    elif isinstance(value, Written):
        yield value
        for field in attrs.fields(type(value)):
            yield from nodes(getattr(value, field.name))


def expected(node: Written) -> Iterator[tuple[Span, str]]:
    """Parts of a node, and their scopes."""
    match node:
        case Number():
            yield node.span, "constant.numeric"
        case Text():
            yield node.span, "string.quoted.double"
        case Component(called=True):
            yield node.name_span, "entity.name.function"
        case Setting():
            yield node.name_span, "variable.parameter"
        case _:
            pass


def test_every_part_of_a_valid_file_has_the_scope_of_its_kind(coloured: Mapping[Path, list[Token]]) -> None:
    openers, valid = reserved_words().openers, 0
    for path, found in coloured.items():
        text, report = path.read_text(encoding="utf-8-sig"), Report()
        document, colours = parse(Source(str(path), text), report), by_offset(found)
        if report.failed:
            continue
        valid += 1
        assert [(path, piece) for piece in skim(text) if not colours.keys() >= {*range(piece.start, piece.end)}] == []
        for sentence in document.sentences:
            assert sentence.span.text.split()[0] in openers
            assert text[: sentence.span.start].rpartition("\n")[2].strip() or (
                colours[sentence.span.start] == "keyword.control"
            ), (path, sentence.span.text)
        parts = [part for node in nodes(document.sentences) for part in expected(node)]
        parts += [(comment.span, "comment.line.number-sign") for comment in document.comments]
        for span, scope in parts:
            assert {colours[at] for at in range(span.start, span.end)} == {scope}, (path, span.text, scope)
    assert valid > 150


def test_the_library_and_the_rules_of_python_agree(coloured: Mapping[Path, list[Token]]) -> None:
    # Also in the files that do not parse. The other tests of colours apply the rules by `re`.
    grammar = rules(json.loads((EDITORS / "vscode" / "syntaxes" / "shape.tmLanguage.json").read_text()))
    for path, found in coloured.items():
        by_re = scopes(grammar, path.read_text(encoding="utf-8-sig"))
        assert [(start, end, names[-1]) for start, end, names in found if names[1:]] == [*by_re], path
