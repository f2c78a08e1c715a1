"""The help for what is at an offset, as Markdown. The words are those of `shapeflow explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import read_text
from shapeflow.editing import nodes
from shapeflow.explain import (
    CodeHelp,
    ComponentHelp,
    KindHelp,
    Page,
    SentenceHelp,
    SettingHelp,
    TopicHelp,
    explain,
)
from shapeflow.language import syntax
from shapeflow.language.skim import Piece, piece_at


@attrs.frozen
class Hover:
    """A text in Markdown, and the stretch of the document that it is about."""

    markdown: str
    start: int
    end: int


def hover(path: Path, text: str, offset: int, read: Callable[[Path], str] = read_text) -> Hover | None:
    """The help for the word at an offset; None if there is none."""
    word = piece_at(text, offset)
    if word is None or word.kind != "word":
        return None
    document = nodes.document_of(path, text)
    parts = nodes.around(document, offset)
    if parts and (found := nodes.let(document, parts[-1], read)) is not None:
        said = f"```shape\n{found.span.text}\n```"
    elif (setting := _setting(parts, word)) is not None:
        said = f"`{setting.name}`: {_described(setting)}"
    else:
        said = "\n\n---\n\n".join(map(_page, _pages(parts, word, offset)))
    return Hover(said, word.start, word.end) if said else None


def _setting(parts: list[syntax.Written], word: Piece) -> SettingHelp | None:
    """The setting of a component whose name is at a word."""
    match parts[-2:]:
        case [syntax.Component(name=name), syntax.Setting(name_span=span) as written] if span.start == word.start:
            of = (page for page in pages(name) if isinstance(page, ComponentHelp))
            return next((each for page in of for each in page.settings if each.name == written.name), None)
    return None


def pages(name: str) -> tuple[Page, ...]:
    """The pages of `shapeflow explain` with a name; none if nothing has it."""
    try:
        return explain(name)
    except Refused:
        return ()


def _pages(parts: list[syntax.Written], word: Piece, offset: int) -> Iterable[Page]:
    """The pages about a word: a reserved word begins its sentence, and elsewhere a name is not a sentence."""
    found = pages(word.text)
    opens = bool(parts) and parts[0].span.start == word.start
    kinds: tuple[type[Page], ...] = (SentenceHelp,) if opens else (ComponentHelp, KindHelp, TopicHelp)
    if not opens and nodes.axis(parts, offset) == word.text:
        return [page for page in found if isinstance(page, ComponentHelp) and page.kind == "axis"]
    return [page for page in found if isinstance(page, kinds)]


def _page(page: Page) -> str:
    """A page as Markdown."""
    match page:
        case ComponentHelp(kind=kind, name=name, text=text, settings=settings, example=example):
            listed = [f"- `{each.name}`: {_described(each)}" for each in settings]
            return "\n\n".join((f"**{name}** ({kind})", text, *(["\n".join(listed)] if listed else []), _code(example)))
        case SentenceHelp(word=name, text=text, example=example):
            return f"**{name}**\n\n{text}\n\n{_code(example)}"
        case KindHelp(kind=name, components=components):
            return f"**{name}**: {', '.join(f'`{each}`' for each in components)}"
        case TopicHelp(name=name, text=text) | CodeHelp(code=name, text=text):
            return f"**{name}**\n\n{text}"


def _described(setting: SettingHelp) -> str:
    """The value, the limits, the default and the help of a setting, on one line."""
    default = "required" if setting.default is None else f"default `{setting.default}`"
    head = ", ".join(part for part in (setting.value, setting.limits, default) if part)
    return f"{head}. {setting.help}".rstrip()


def _code(example: str) -> str:
    return f"```shape\n{example}\n```"
