"""The parts of a document around an offset, and what its names mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from shapeflow.base.diagnostics import Refused, Report, Source, Span, leaves_folder
from shapeflow.language import syntax
from shapeflow.language.parse import parse

_S = TypeVar("_S")


@functools.lru_cache(maxsize=8)
def document_of(path: Path, text: str) -> syntax.Document:
    """The valid sentences of a text. An editor asks several questions about each, so the last ones are kept."""
    return parse(Source(str(path), text), Report())


def around(document: syntax.Document, offset: int) -> list[syntax.Written]:
    """The parts that contain an offset or end at it, the sentence first and the smallest part last."""
    found: list[syntax.Written] = []
    inside: Any = document.sentences
    while (part := next((each for each in _written(inside) if holds(each.span, offset)), None)) is not None:
        found.append(part)
        inside = [getattr(part, field.name) for field in attrs.fields(type(part))]
    return found


def _written(value: object) -> Iterator[syntax.Written]:
    """The parts in a value, which may be in tuples."""
    if isinstance(value, syntax.Written):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _written(each)


def holds(span: Span, offset: int) -> bool:
    """Whether an offset is in a span, or at its end, where the cursor is after typing a word."""
    return span.start <= offset <= span.end


def sentences(document: syntax.Document, kind: type[_S]) -> list[_S]:
    """The sentences of a kind, in file order."""
    return [each for each in document.sentences if isinstance(each, kind)]


def used(document: syntax.Document, alias: str, read: Callable[[Path], str]) -> syntax.Document | None:
    """The document that a `use` sentence names; None if it cannot be read or is outside the folder."""
    folder = Path(document.source.name).parent
    for use in sentences(document, syntax.Use):
        path = folder / use.path.value
        if use.name == alias and not leaves_folder(use.path.value, str(folder), "", None, Report()) and path.is_file():
            try:
                return document_of(path, read(path))
            except Refused:
                return None
    return None


def let(document: syntax.Document, value: syntax.Written, read: Callable[[Path], str]) -> syntax.Let | None:
    """The `let` that a value names, in the document or in a file that it uses; None if it names none."""
    match value:
        case syntax.Component(called=False, name=name):
            where: syntax.Document | None = document
        case syntax.Reference(parts=(alias, name)):
            where = used(document, alias, read)
        case _:
            return None
    return None if where is None else next((each for each in sentences(where, syntax.Let) if each.name == name), None)


def axis(parts: list[syntax.Written], offset: int) -> str | None:
    """The axis that is named at an offset, in a shape, a condition or `candidates`; None if none is."""
    outers = [None, *parts]
    for number in reversed(range(len(parts))):
        part, outer = parts[number], outers[number]
        match part:
            case syntax.Comparison(axis=name, axis_span=span) if holds(span, offset):
                return name
            case syntax.Setting(name=name, name_span=span) if holds(span, offset):
                return name if isinstance(outer, syntax.ShapeLiteral) else None
            case syntax.Candidates(axes=axes):
                return next((name for name, span in axes if holds(span, offset)), None)
            case syntax.Axis(name=name, name_span=span) if holds(span, offset):
                return name
    return None
