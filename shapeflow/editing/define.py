"""Where the name at an offset is defined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shapeflow.base.diagnostics import Span
from shapeflow.base.files import read_text
from shapeflow.editing import nodes
from shapeflow.language import syntax


def definition(path: Path, text: str, offset: int, read: Callable[[Path], str] = read_text) -> Span | None:
    """The `let` of a name, the `axis` of the name of an axis, or the file of a `use`; None for anything else. The span
    may be in another file: its source has the name of that file."""
    document = nodes.document_of(path, text)
    parts = nodes.around(document, offset)
    if not parts:
        return None
    if (found := nodes.let(document, parts[-1], read)) is not None:
        return found.name_span
    if (name := nodes.axis(parts, offset)) is not None:
        return next((each.name_span for each in nodes.sentences(document, syntax.Axis) if each.name == name), None)
    if isinstance(parts[0], syntax.Use) and (other := nodes.used(document, parts[0].name, read)) is not None:
        return Span(other.source, 0, 0)
    return None
