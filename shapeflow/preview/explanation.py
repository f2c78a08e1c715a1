"""Shows the pages of `shapeflow explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.explain import CodeHelp, ComponentHelp, KindHelp, Overview, Page, SentenceHelp, SettingHelp, TopicHelp


def pages_view(pages: Iterable[Page]) -> RenderableType:
    """All pages of one name, one after the other."""
    parts: list[RenderableType] = []
    for page in pages:
        parts += [Text()] if parts else []
        parts += _page(page)
    return Group(*parts)


def overview_view(overview: Overview) -> RenderableType:
    """All names that can be explained."""
    parts: list[RenderableType] = [Text("Sentences, by their first word", style="bold")]
    parts.append(_names(overview.sentences.items()))
    for kind, components in overview.components.items():
        parts += [Text(), Text(f"Components: {kind}", style="bold"), _names(components.items())]
    parts += [Text(), Text("Diagnostic codes", style="bold"), Padding(Text(", ".join(overview.codes)), (0, 2))]
    parts += [Text(), Text("Terms", style="bold"), Padding(Text(", ".join(overview.topics)), (0, 2))]
    parts += [Text(), Text("Run `shapeflow explain NAME` for details.")]
    return Group(*parts)


def _page(page: Page) -> Iterator[RenderableType]:
    match page:
        case ComponentHelp(kind, name, text, settings, example):
            yield from _headed(f"{name}, {_article(kind)}", text)
            if settings:
                yield Text()
                yield _settings(settings)
            yield from _for_instance(example)
        case SentenceHelp(word, text, example, components):
            yield from _headed(f"{word}, a sentence", text)
            yield from _for_instance(example)
            if components:
                yield Padding(Text(f"components: {', '.join(components)}"), (1, 2, 0, 2))
        case KindHelp(kind, components):
            yield from _headed(f"{kind}, a kind of component", f"available: {', '.join(components)}")
        case CodeHelp(code, text):
            yield from _headed(f"{code}, a diagnostic code", text)
        case TopicHelp(name, text):
            yield from _headed(f"{name}, a term", text)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _headed(title: str, text: str) -> Iterator[RenderableType]:
    yield Text(title, style="bold")
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        example = bool(lines) and all(line.startswith("    ") for line in lines)
        yield Padding(Text(paragraph if example else " ".join(paragraph.split())), (1, 2, 0, 2))


def _for_instance(example: str) -> Iterator[RenderableType]:
    yield Padding(Text(f"example: {example}"), (1, 2, 0, 2))


def _names(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2), pad_edge=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _settings(settings: Iterable[SettingHelp]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    for heading in ("setting", "value", "default", "limits", ""):
        table.add_column(heading)
    for setting in settings:
        default = "required" if setting.default is None else setting.default
        table.add_row(*map(Text, (setting.name, setting.value, default, setting.limits, setting.help)))
    return table
