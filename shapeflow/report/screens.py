"""Turns what a screen shows into HTML: texts into paragraphs, tables into tables with headings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.report.markup import NOTHING, Markup, join, node

SHORT = 24
"""Characters of a text that stays on one line of a table."""


def html_of(shown: RenderableType, name: str) -> Markup:
    """A view as HTML. `name`: what its tables show, for readers who hear the page."""
    if isinstance(shown, Group):
        return join(*(html_of(one, name) for one in shown.renderables))
    if isinstance(shown, Padding):
        return html_of(shown.renderable, name)
    if isinstance(shown, Table):
        headings = [_plain(column.header) for column in shown.columns] if shown.show_header else []
        right = [column.justify == "right" for column in shown.columns]
        rows = [list(row) for row in zip(*(map(_plain, column.cells) for column in shown.columns), strict=True)]
        return table(name, headings, rows, right) if rows else NOTHING
    return paragraph(_plain(shown), strong=isinstance(shown, Text) and "bold" in str(shown.style))


def paragraph(text: str, *, strong: bool = False) -> Markup:
    """A paragraph; nothing for an empty text."""
    if not text.strip():
        return NOTHING
    return node("p", node("strong", text.strip())) if strong else node("p", text.strip())


def table(
    name: str, headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] | None = None
) -> Markup:
    """A table in a box of its own, which scrolls on a narrow screen. The first cell of a row is its heading. `right`:
    the columns of numbers; all but the first by default."""
    numbers = [index > 0 for index in range(len(headings))] if right is None else list(right)
    sides = ["number" if one else "text" for one in numbers]
    head = [_heading(text, side) for text, side in zip(headings, sides, strict=True)] if headings else []
    body = [
        node("tr", *(_cell(text, side, not index) for index, (text, side) in enumerate(zip(row, sides, strict=True))))
        for row in rows
    ]
    parts = [node("thead", node("tr", *head))] if head else []
    return box(name, node("table", *parts, node("tbody", *body)))


def box(name: str, *inside: Markup) -> Markup:
    """A box that scrolls by itself, also with the keyboard. A page has many of them, so they are not landmarks."""
    return node("div", *inside, class_="box", role="group", tabindex="0", aria_label=name)


def _heading(text: str, side: str) -> Markup:
    # An empty heading is not announced as one.
    return node("th", text, scope="col", class_=side) if text else node("td")


def _cell(text: str, side: str, first: bool) -> Markup:
    if side == "text" and len(text) <= SHORT:
        side = "text short"
    return node("th", text, scope="row", class_=side) if first and text else node("td", text, class_=side)


def _plain(cell: object) -> str:
    """The text of a cell or a line."""
    return (cell.plain if isinstance(cell, Text) else str(cell)).replace("\n", " ").strip()
