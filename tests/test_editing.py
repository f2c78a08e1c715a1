"""What an editor asks about a `.shape` text, without a server; and one session with the server over stdio."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import sys
from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.editing.complete import complete
from shapeflow.editing.define import definition
from shapeflow.editing.fixes import fix
from shapeflow.editing.hover import hover
from shapeflow.editing.messages import Messages, OneLine
from shapeflow.editing.mistakes import mistakes
from shapeflow.editing.outline import layout, outline
from shapeflow.editing.places import Places

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "mistakes"
EXAMPLE = ROOT / "examples" / "by_hand.shape"
SHAPES = sorted(path.name for path in FOLDER.glob("*.shape"))
ON_CHANGE = 110
"""At least this many of the files are found wrong while they are typed. The others need laws or a plan."""

HEAD = re.compile(r"^(error|warning)\[([a-z-]+)\]: (.*)(?:\n +--> (.*))?", re.MULTILINE)


def lines(name: str) -> list[tuple[str, ...]]:
    """The severity, code, message and place of each diagnostic of a golden file."""
    found = HEAD.findall((FOLDER / name).with_suffix(".txt").read_text())
    return [tuple(part for part in each) for each in found]


def in_an_editor(path: Path, *, laws: bool = False) -> list[tuple[str, ...]]:
    """The same of a file in an editor."""
    found = []
    for each in mistakes(path, path.read_text(encoding="utf-8-sig"), laws=laws):
        told, at = each.diagnostic, each.diagnostic.at
        place = told.place or ""
        if at is not None:
            line, column = Places.of(at.span.source.text, "utf-32").at(at.span.start)
            place = f"{at.span.source.name}:{line + 1}:{column + 1}"
        found.append((told.severity, told.code, told.message, place))
    return found


def test_mistakes_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a file is typed, an editor shows what the command line reports; a later stage adds to it on save."""
    monkeypatch.chdir(FOLDER)
    wrong = 0
    for name in SHAPES:
        found, expected = in_an_editor(Path(name)), lines(name)
        failed = any(severity == "error" for severity, *_ in found)
        assert found == (expected if failed else expected[: len(found)]), name
        wrong += failed
    assert wrong >= ON_CHANGE


@pytest.mark.parametrize("name", ["broken-profile.shape", "unreached-candidate.shape", "broken-laws.shape"])
def test_mistakes_of_laws_and_plans(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    assert in_an_editor(Path(name), laws=True) == lines(name) != in_an_editor(Path(name))


def test_fixes_remove_their_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    fixed = 0
    for name in SHAPES:
        text = Path(name).read_text(encoding="utf-8-sig")
        for each in mistakes(Path(name), text):
            if (found := fix(each)) is None:
                continue
            after = text[: found.span.start] + found.text + text[found.span.end :]
            told = each.diagnostic
            left = [other.diagnostic for other in mistakes(Path(name), after)]
            assert (told.code, told.message) not in {(other.code, other.message) for other in left}, name
            fixed += 1
    assert fixed > 10


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("axis patch in [4, 2", "axis patch in [4, 2]"),
        ('seed 3, plan "a"', 'seed 3 plan "a"'),
        ("model vit(depth: 4]", "model vit(depth: 4)"),
        ("seed −3", "seed -3"),
        ("sead 3", "seed 3"),
        ("axis patch of [4, 2]", None),
    ],
)
def test_fixes_of_the_grammar(text: str, after: str | None) -> None:
    found = [fix(each) for each in mistakes(Path("a.shape"), text)]
    made = [text[: each.span.start] + each.text + text[each.span.end :] for each in found if each is not None]
    assert made == ([] if after is None else [after])


def test_places_count_units_of_the_protocol() -> None:
    text = 'plan "a😀b" # é\r\nseed x\rend'
    behind, e, x, end = (text.index(each) for each in ("b", "é", "x", "end"))
    for encoding, columns in {"utf-16": (9, 14), "utf-8": (11, 16), "utf-32": (8, 13)}.items():
        places = Places.of(text, encoding)
        assert [places.at(offset) for offset in (behind, e, x, end)] == [
            (0, columns[0]),
            (0, columns[1]),
            (1, 5),
            (2, 0),
        ]
        assert all(places.offset(*places.at(offset)) == offset for offset in range(len(text)) if text[offset] != "\n")
    assert Places.of(text).offset(0, 99) == text.index("\r\n")
    assert Places.of(text).offset(9, 0) == len(text)


def completed(text: str) -> list[str]:
    """The words that fit at `|` in a text."""
    offset = text.index("|")
    return [each.label for each in complete(Path("a.shape"), text.replace("|", ""), offset)]


@pytest.mark.parametrize(
    ("text", "fits", "misfits"),
    [
        ("bud|", ["budget", "axis"], ["via", "steepest"]),
        ("model |", ["vit", "transformer"], ["steepest", "budget"]),
        ("model vit(depth: 4, |", ["width"], ["depth", "vit"]),
        ("axis patch in [16, 8] |", ["px", "via"], ["vit"]),
        ("axis patch in [16, 8] px via fl|", ["flexi_resize"], ["width_expand", "steepest"]),
        ("axis patch in [16, 8] px via flexi_resize(|", ["base"], ["patch"]),
        ("axis width in [64, 128] via width_expand\nstage (|) until 40%", ["width"], ["model"]),
        ("axis width in [64, 128] via width_expand\nstage (width: |", ["64", "128"], ["width"]),
        ("axis width in [64, 128] via width_expand\ncandidates width where |", ["width", "not"], ["vit"]),
        ("laws from |", ["fit"], ["vit"]),
        ("let much = 10 PFLOPs\nbudget |", ["much"], ["vit", "budget"]),
        ("budget 10 |", ["PFLOPs", "tokens"], ["vit"]),
        ("model vit(depth: 4) # |", [], ["width", "budget"]),
        ('plan "my |', [], ["budget"]),
        ("budget budget |", [], ["vit"]),
    ],
)
def test_completion_knows_the_place(text: str, fits: list[str], misfits: list[str]) -> None:
    found = completed(text)
    assert set(fits) <= set(found)
    assert not set(misfits) & set(found)


def test_help_at_a_place() -> None:
    text = "let deep = 4\nmodel vit(depth: deep)\naxis patch in [4, 2] px via flexi_resize(base: 4 px) # model"

    def help_(word: str, after: str = "") -> str:
        found = hover(Path("a.shape"), text, text.index(word, text.index(after)) + 1)
        return "" if found is None else found.markdown

    assert help_("deep", "depth") == "```shape\nlet deep = 4\n```"
    assert help_("model").startswith("**model**")
    assert help_("vit").startswith("**vit** (model)")
    assert help_("depth").startswith("`depth`: ")
    assert help_("base").startswith("`base`: ")
    assert help_("patch").startswith("**patch** (axis)")
    assert not help_("model", "#")
    assert not help_("via")
    found = hover(Path("a.shape"), "heads vit(depth: 4)", 11)
    assert found is not None
    assert found.markdown.startswith("**depth** (axis)"), "also in a line that is no sentence"


def test_definitions(tmp_path: Path) -> None:
    (tmp_path / "sizes.shape").write_text("let side = 8 px\n")
    text = 'use "sizes.shape" as sizes\nlet deep = 4\nmodel vit(depth: deep)\naxis patch in [sizes.side, 4 px] via x\n'
    text += "candidates patch where patch > 4 px"
    path = tmp_path / "a.shape"

    def of(word: str, after: str) -> tuple[str, str, int] | None:
        found = definition(path, text, text.index(word, text.index(after)) + 1)
        return None if found is None else (Path(found.source.name).name, found.text, found.start)

    assert of("deep", "depth") == ("a.shape", "deep", text.index("deep"))
    assert of("side", "patch") == ("sizes.shape", "side", 4)
    assert of("sizes", "use") == ("sizes.shape", "", 0)
    assert of("patch", "where") == of("patch", "candidates") == ("a.shape", "patch", text.index("patch"))
    assert of("vit", "vit") is None
    # A file that the editor holds unsaved, and one outside the folder.
    assert definition(path, text, text.index("side", 60), lambda _: "let x = 1\nlet side = 2").start == 14  # type: ignore[union-attr]
    outside = text.replace("sizes.shape", "../sizes.shape")
    assert definition(path, outside, outside.index("side", 60)) is None


def test_unsaved_files_are_read_and_their_mistakes_shown_at_their_use(tmp_path: Path) -> None:
    (tmp_path / "sizes.shape").write_text("let side = 8 px\n")
    text = '# é\nuse "sizes.shape" as sizes\naxis patch in [sizes.side, 4 px] via flexi_resize(base: 4 px)'
    assert {each.diagnostic.code for each in mistakes(tmp_path / "a.shape", text)} == {"missing-sentence", "no-end"}
    (found,) = mistakes(tmp_path / "a.shape", text, lambda _: "let side = ")
    assert found.span.text == '"sizes.shape"'
    assert [Path(label.span.source.name).name for label in found.others] == ["sizes.shape"]
    # An error without a place is shown at the first line.
    (found,) = mistakes(tmp_path / "a.shape", "# é\nseed 3")
    assert (found.diagnostic.code, found.span.text) == ("no-axis", "# é")


def test_outline_and_layout() -> None:
    text = "axis patch # side\n  in [4, 2] px  via flexi_resize\nseed\t3\nmodle x\n"
    found = outline(Path("a.shape"), text)
    assert [(each.word, each.text) for each in found[1:]] == [("seed", "seed 3")]
    assert found[0].text.startswith("axis patch in [ 4")
    assert found[0].word_span.text == "axis"
    assert layout(text) is None
    assert layout("seed\t3") == "seed       3\n"


def test_a_missing_pygls_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "shapeflow.editing.server", raising=False)
    monkeypatch.setitem(sys.modules, "pygls.lsp.server", None)
    assert answer(["lsp"]) == 1
    said = capsys.readouterr().err
    assert "error[missing-extra]" in said
    assert "pip install 'pygls>=2.0,<3'" in said


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (b"Content-Length: 99999999999999\r\n\r\n{}", "a message has 99,999,999,999,999 bytes, more than 268,435,456"),
        (b"x" * 3_000, "a header line has more than 1,024 bytes"),
        (b"Content-Length: 2\r\n\r\n{}", None),
    ],
)
def test_messages_are_bounded(sent: bytes, wrong: str | None) -> None:
    """At what is not bounded, the input ends."""
    messages = Messages(io.BytesIO(sent))
    assert bool(messages.readline()) is (wrong is None)
    assert str(messages.wrong).startswith(str(wrong))


def test_a_message_that_cannot_be_handled_is_one_line() -> None:
    try:
        raise ValueError("not\nJSON\x1b")
    except ValueError:
        record = logging.LogRecord("pygls", logging.ERROR, "", 1, "Unable to handle message", (), sys.exc_info())
    assert OneLine().format(record) == "shapeflow lsp: Unable to handle message: ValueError: not"


def test_a_session_with_an_editor(tmp_path: Path) -> None:
    """The server answers a real client as the functions do, at the positions of the protocol."""
    pytest.importorskip("pygls")
    asyncio.run(asyncio.wait_for(session(tmp_path), 120))


async def session(folder: Path) -> None:  # noqa: PLR0915 - One process serves all questions.
    from lsprotocol import types
    from pygls.lsp.client import LanguageClient

    good = EXAMPLE.read_text()
    bad = good.replace("plan ", "# 😀\nplan ", 1).replace("flexi_resize(base:", "flexi_resize(bse:")
    assert bad != good
    path = folder / "bad.shape"
    path.write_text(bad)
    uri, client = path.as_uri(), LanguageClient("test", "0")
    published: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def keep(params: types.PublishDiagnosticsParams) -> None:
        published.put_nowait(params)

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    await client.start_io(sys.executable, "-m", "shapeflow", "lsp", "--stdio", env=environment)
    begun = await client.initialize_async(types.InitializeParams(types.ClientCapabilities(), root_uri=None))
    assert begun.capabilities.text_document_sync
    client.initialized(types.InitializedParams())
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "shape", 1, bad)))
    shown = (await published.get()).diagnostics
    places, expected = Places.of(bad), mistakes(path, bad)
    assert [(each.code, each.message) for each in shown] == [(each.diagnostic.code, each.text) for each in expected]
    assert [(each.range.start.line, each.range.start.character) for each in shown] == [
        places.at(each.span.start) for each in expected
    ]
    with pytest.raises(Refused) as refused:
        compile_file(path)
    assert [each.code for each in refused.value.diagnostics] == [each.code for each in shown]

    document = types.TextDocumentIdentifier(uri)
    actions = await client.text_document_code_action_async(
        types.CodeActionParams(document, shown[0].range, types.CodeActionContext(shown))
    )
    assert actions
    (edit,) = actions[0].edit.changes[uri]
    start, end = (places.offset(at.line, at.character) for at in (edit.range.start, edit.range.end))
    text = bad[:start] + edit.new_text + bad[end:]
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, uri), [types.TextDocumentContentChangeWholeDocument(text)]
        )
    )
    assert not (await published.get()).diagnostics
    path.write_text(text)
    client.text_document_did_save(types.DidSaveTextDocumentParams(document))
    assert not [each for each in (await published.get()).diagnostics if each.severity == 1]

    places = Places.of(text)
    at = types.Position(*places.at(text.index("flexi_resize") + 2))
    help_ = await client.text_document_hover_async(types.HoverParams(document, at))
    assert help_ is not None
    assert isinstance(help_.contents, types.MarkupContent)
    assert help_.contents.value.startswith("**flexi_resize**")
    items = await client.text_document_completion_async(types.CompletionParams(document, at))
    assert isinstance(items, list)
    assert "flexi_resize" in {each.label for each in items}
    assert not await client.text_document_formatting_async(
        types.DocumentFormattingParams(document, types.FormattingOptions(2, True))
    )
    entries = await client.text_document_document_symbol_async(types.DocumentSymbolParams(document))
    assert [each.name for each in entries or ()] == [each.text for each in outline(path, text)]
    axis = types.Position(*places.at(text.index("(patch") + 2))
    found = await client.text_document_definition_async(types.DefinitionParams(document, axis))
    assert isinstance(found, types.Location)
    assert found.range.start == types.Position(*places.at(text.index("axis patch") + len("axis ")))
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
