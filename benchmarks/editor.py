"""Measures how long the language server takes to answer an editor.

    python benchmarks/editor.py [--changes 20]

A client starts `shapeflow lsp` and talks to it over stdio, as an editor does. Each request is made once after each
change of a character. Milliseconds, of wall time: median and largest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.table import Table

EXAMPLE = Path(__file__).parent.parent / "examples" / "fashion.shape"


async def measure(folder: Path, changes: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of answer."""
    text, found = EXAMPLE.read_text(), dict[str, list[float]]()
    uri, client = (folder / "a.shape").as_uri(), LanguageClient("benchmark", "0")
    published: asyncio.Queue[Any] = asyncio.Queue()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator]
    def keep(params: types.PublishDiagnosticsParams) -> None:
        published.put_nowait(params)

    async def timed(what: str, answer: Awaitable[Any]) -> None:
        begun = time.perf_counter()
        await answer
        found.setdefault(what, []).append(1e3 * (time.perf_counter() - begun))

    async def started() -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        await client.start_io(sys.executable, "-m", "shapeflow", "lsp", "--stdio", env=environment)
        await client.initialize_async(types.InitializeParams(types.ClientCapabilities(), root_uri=None))
        client.initialized(types.InitializedParams())
        client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "shape", 1, text)))
        await published.get()

    await timed("start, and the first diagnostics", started())
    document = types.TextDocumentIdentifier(uri)
    line = next(n for n, each in enumerate(text.splitlines()) if "flexi_resize" in each)
    at = types.Position(line, text.splitlines()[line].index("flexi_resize") + 2)
    for number in range(changes):
        changed = text + f"# {number}\n"
        whole = [types.TextDocumentContentChangeWholeDocument(changed)]
        version = types.VersionedTextDocumentIdentifier(number + 2, uri)
        client.text_document_did_change(types.DidChangeTextDocumentParams(version, whole))
        await timed("diagnostics after a change", published.get())
        await timed("hover", client.text_document_hover_async(types.HoverParams(document, at)))
        await timed("completion", client.text_document_completion_async(types.CompletionParams(document, at)))
        options = types.FormattingOptions(2, True)
        await timed("format", client.text_document_formatting_async(types.DocumentFormattingParams(document, options)))
        symbols = types.DocumentSymbolParams(document)
        await timed("outline", client.text_document_document_symbol_async(symbols))
        await timed("definition", client.text_document_definition_async(types.DefinitionParams(document, at)))
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()  # type: ignore[no-untyped-call]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the answers of `shapeflow lsp`.")
    parser.add_argument("--changes", type=int, default=20)
    changes = parser.parse_args().changes
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), changes))
    table = Table("answer", "median, ms", "largest, ms", "times")
    for what, values in found.items():
        table.add_row(what, f"{statistics.median(values):.1f}", f"{max(values):.1f}", str(len(values)))
    Console().print(table)


if __name__ == "__main__":
    main()
