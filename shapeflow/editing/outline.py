"""The outline of a text, and its canonical layout."""

from __future__ import annotations

from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report, Source, Span
from shapeflow.editing import nodes
from shapeflow.language.fmt import formatted
from shapeflow.language.parse import parse
from shapeflow.language.skim import skim

LONGEST = 80
"""Characters of an entry of the outline."""


@attrs.frozen
class Entry:
    """A sentence: its reserved word, its text on one line, and where it and its reserved word are."""

    word: str
    text: str
    span: Span
    word_span: Span


def outline(path: Path, text: str) -> tuple[Entry, ...]:
    """The valid sentences of a text, in file order."""
    entries = []
    for sentence in nodes.document_of(path, text).sentences:
        span = sentence.span
        words = [piece.text for piece in skim(span.text) if piece.kind != "comment"]
        line = " ".join(span.text.split()) if len(words) == len(skim(span.text)) else " ".join(words)
        shown = line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
        entries.append(Entry(words[0], shown, span, Span(span.source, span.start, span.start + len(words[0]))))
    return tuple(entries)


def layout(text: str) -> str | None:
    """The text as `shapeflow fmt` writes it; None if a sentence is wrong, since nothing is then formatted."""
    report = Report()
    document = parse(Source("", text), report)
    return None if report.failed else formatted(document)
