"""The language server: passes questions of an editor to the functions next to it, and their answers back.

Only this module imports pygls, which the extra `lsp` installs.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import TextDocument

from shapeflow.base.diagnostics import Diagnostic, Label, Refused, Span
from shapeflow.base.files import read_text, real
from shapeflow.editing.complete import Item, complete
from shapeflow.editing.define import definition
from shapeflow.editing.fixes import fix
from shapeflow.editing.hover import hover
from shapeflow.editing.messages import Messages, OneLine
from shapeflow.editing.mistakes import Mistake, mistakes
from shapeflow.editing.outline import layout, outline
from shapeflow.editing.places import Places

KINDS = {
    "sentence": types.CompletionItemKind.Keyword,
    "word": types.CompletionItemKind.Keyword,
    "component": types.CompletionItemKind.Class,
    "setting": types.CompletionItemKind.Property,
    "name": types.CompletionItemKind.Variable,
    "unit": types.CompletionItemKind.Unit,
}


def serve() -> None:
    """Answer an editor on stdin and stdout until it says goodbye. What anything else prints goes to stderr, so that it
    does not end up between two messages. Raises Refused `cannot-read` at a message that is too long."""
    output, sys.stdout = sys.stdout, sys.stderr
    messages, handler = Messages(sys.stdin.buffer), logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.getLogger("pygls").addHandler(handler)
    logging.getLogger("pygls").propagate = False
    try:
        _Server().server.start_io(cast("BinaryIO", messages), output.buffer)
    finally:
        sys.stdout = output
    if messages.wrong is not None:
        help_ = "send shorter messages, or raise the limit"
        raise Refused(
            Diagnostic(
                "cannot-read", "the editor cannot be understood", place="stdin", notes=(messages.wrong,), help=help_
            )
        )


class _Server:
    """The state of a session: the open documents, which pygls keeps, and the lock of the thread that finds laws."""

    def __init__(self) -> None:
        # Whole texts: the lines of an incremental change would be those of Python, which knows more line breaks.
        self.server = LanguageServer("shapeflow", version("shapeflow"), types.TextDocumentSyncKind.Full)
        self.finding_laws = threading.Lock()
        self.answer(types.TEXT_DOCUMENT_DID_OPEN, self.opened)
        self.answer(types.TEXT_DOCUMENT_DID_CHANGE, self.changed)
        self.answer(types.TEXT_DOCUMENT_DID_SAVE, self.saved, thread=True)
        self.answer(types.TEXT_DOCUMENT_DID_CLOSE, self.closed)
        self.answer(types.TEXT_DOCUMENT_HOVER, self.hover)
        begins = types.CompletionOptions(trigger_characters=[".", "(", ":", " "])
        self.answer(types.TEXT_DOCUMENT_COMPLETION, self.complete, begins)
        self.answer(types.TEXT_DOCUMENT_DEFINITION, self.definition)
        self.answer(types.TEXT_DOCUMENT_FORMATTING, self.layout)
        self.answer(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, self.outline)
        kinds = types.CodeActionOptions([types.CodeActionKind.QuickFix])
        self.answer(types.TEXT_DOCUMENT_CODE_ACTION, self.fixes, kinds)

    def answer(self, question: str, by: Callable[[Any], Any], options: Any = None, *, thread: bool = False) -> None:
        """Answer a question by a method. pygls marks what it calls, and a method cannot be marked."""

        def called(params: Any) -> Any:
            return by(params)

        self.server.feature(question, options)(self.server.thread()(called) if thread else called)

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        self.publish(params.text_document.uri)

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        self.publish(params.text_document.uri)

    def saved(self, params: types.DidSaveTextDocumentParams) -> None:
        """Compile the document, in a thread: reading logs and fitting laws may take seconds. The documents that were
        saved meanwhile wait; one that has changed is left to its next save."""
        uri = params.text_document.uri
        document = self.server.workspace.text_documents.get(uri)
        if document is None:
            return
        before = document.version
        with self.finding_laws:
            if not self._is_at(uri, before):
                return
            found = mistakes(_path(uri), document.source, self.read, laws=True)
        if self._is_at(uri, before):
            self.send(uri, document, found)

    def _is_at(self, uri: str, before: int | None) -> bool:
        document = self.server.workspace.text_documents.get(uri)
        return document is not None and document.version == before

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        """Remove the diagnostics of a document, which the editor would otherwise keep."""
        self.server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))

    def publish(self, uri: str) -> None:
        document = self.document(uri)
        self.send(uri, document, mistakes(_path(uri), document.source, self.read))

    def send(self, uri: str, document: TextDocument, found: tuple[Mistake, ...]) -> None:
        shown = [self.shown(each, uri, document.source) for each in found]
        self.server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri, shown, version=document.version)
        )

    def document(self, uri: str) -> TextDocument:
        return self.server.workspace.get_text_document(uri)

    def read(self, path: Path) -> str:
        """The text of a file as the editor has it, or as it is on the disk. Raises Refused `cannot-read`."""
        for uri, document in list(self.server.workspace.text_documents.items()):
            if real(_path(uri)) == real(path):
                return str(document.source)
        return read_text(path)

    def places(self, text: str) -> Places:
        return Places.of(text, str(getattr(self.server.workspace.position_encoding, "value", "utf-16")))

    def range(self, span: Span) -> types.Range:
        places = self.places(span.source.text)
        return types.Range(types.Position(*places.at(span.start)), types.Position(*places.at(span.end)))

    def shown(self, mistake: Mistake, uri: str, text: str) -> types.Diagnostic:
        """A diagnostic as an editor shows it."""
        told = mistake.diagnostic
        level = types.DiagnosticSeverity.Error if told.severity == "error" else types.DiagnosticSeverity.Warning
        also = [
            types.DiagnosticRelatedInformation(self.location(label, uri, text), label.text) for label in mistake.others
        ]
        return types.Diagnostic(
            self.range(mistake.span), mistake.text, level, told.code, source="shapeflow", related_information=also
        )

    def location(self, label: Label, uri: str, text: str) -> types.Location:
        source = label.span.source
        return types.Location(uri if source.text is text else _uri(source.name), self.range(label.span))

    def asked(
        self, params: types.HoverParams | types.CompletionParams | types.DefinitionParams
    ) -> tuple[Path, str, int]:
        """The file, the text and the offset that a question is about."""
        uri = params.text_document.uri
        text = self.document(uri).source
        return _path(uri), text, self.places(text).offset(params.position.line, params.position.character)

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        path, text, offset = self.asked(params)
        if (found := hover(path, text, offset, self.read)) is None:
            return None
        places = self.places(text)
        range_ = types.Range(types.Position(*places.at(found.start)), types.Position(*places.at(found.end)))
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, found.markdown), range_)

    def complete(self, params: types.CompletionParams) -> list[types.CompletionItem]:
        return [_completion(each) for each in complete(*self.asked(params), self.read)]

    def definition(self, params: types.DefinitionParams) -> types.Location | None:
        path, text, offset = self.asked(params)
        found = definition(path, text, offset, self.read)
        return None if found is None else self.location(Label(found), params.text_document.uri, text)

    def layout(self, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        text = self.document(params.text_document.uri).source
        after = layout(text)
        if after is None or after == text:
            return []
        end = types.Position(*self.places(text).at(len(text)))
        return [types.TextEdit(types.Range(types.Position(0, 0), end), after)]

    def outline(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        uri = params.text_document.uri
        return [
            types.DocumentSymbol(
                each.text, types.SymbolKind.Field, self.range(each.span), self.range(each.word_span), each.word
            )
            for each in outline(_path(uri), self.document(uri).source)
        ]

    def fixes(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """The fixes of the diagnostics on the lines that the editor asks about."""
        uri = params.text_document.uri
        document, actions = self.document(uri), []
        for mistake in mistakes(_path(uri), document.source, self.read):
            range_, found = self.range(mistake.span), fix(mistake)
            if found is None or range_.end < params.range.start or params.range.end < range_.start:
                continue
            edit = types.WorkspaceEdit({uri: [types.TextEdit(self.range(found.span), found.text)]})
            shown = [self.shown(mistake, uri, document.source)]
            actions.append(types.CodeAction(found.title, types.CodeActionKind.QuickFix, shown, edit=edit))
        return actions


def _path(uri: str) -> Path:
    """The path of a document. One that was never saved has only a name."""
    return Path(to_fs_path(uri) or uri)


def _uri(path: str) -> str:
    return from_fs_path(path) or path


def _completion(item: Item) -> types.CompletionItem:
    return types.CompletionItem(item.label, kind=KINDS[item.kind], detail=item.detail or None, insert_text=item.text)
