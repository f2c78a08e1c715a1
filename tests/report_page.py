"""A report as tests read it: its elements and its colours, and what holds for every page."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

from shapeflow.cli import answer

HOSTILE = "</title><script>alert(1)</script></svg>\x1b[31m\u202ename\u2066 \"'&amp;"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/svg&gt;"
"""What the page has in its place."""
PASSIVE = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "ul", "li", "strong", "span"),
    *("div", "figure", "figcaption", "pre", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"),
    *("svg", "g", "rect", "line", "polyline", "polygon", "circle", "text"),
}
"""The elements of a page. None of them loads or runs anything."""
CONTRAST, OF_LINES = 4.5, 3.0
"""The lowest ratios that WCAG 2.2 AA allows for text, and for lines and areas."""
Names = Mapping[str, str | None]


class Page(HTMLParser):
    """The elements of a page. Fails if it is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, Names]] = []
        self.drawings: list[Names] = []
        """The outer `svg` elements."""
        self.titles = 0
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.titles += tag == "title" and self.open[-1] == "head"
        if tag == "svg" and "svg" not in self.open:
            self.drawings.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def every(self, *tags: str) -> list[Names]:
        """The attributes of all elements of some names."""
        return [names for tag, names in self.found if tag in tags]


def page_of(*words: str | Path, to: Path) -> tuple[str, Page]:
    """The text of the report that the command line writes, and its elements, after `check_page`."""
    assert answer(["report", *map(str, words), "-o", str(to)]) == 0
    data = to.read_bytes()
    assert len(data) < 1_000_000
    text = data.decode()
    return text, check_page(text)


def check_page(text: str) -> Page:
    """The elements of a page, after checking what holds for every report: it loads and runs nothing, and readers who
    hear it or use the keyboard find their way."""
    page = Page(text)
    _passive(text, page)
    (html,), (main,) = page.every("html"), page.every("main")
    assert html["lang"] == "en"
    assert main == {}
    assert page.titles == 1
    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for names in page.drawings:
        assert names.get("aria-hidden") == "true" or (names.get("role") == "img" and names.get("aria-label"))
    assert all(names.get("scope") in ("row", "col") for names in page.every("th"))
    scrolling = [names for names in page.every("div") if names.get("class") == "box"]
    assert len(scrolling) == len(page.every("table"))
    assert all(names["tabindex"] == "0" and names["role"] == "group" and names["aria-label"] for names in scrolling)
    assert all(names.get("tabindex") in (None, "0") for _, names in page.found)
    return page


def _passive(text: str, page: Page) -> None:
    names = [name for _, found in page.found for name in found]
    assert {tag for tag, _ in page.found} <= PASSIVE
    assert not [name for name in names if name in ("src", "href", "style", "srcdoc") or name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    policy = {found["http-equiv"]: found["content"] for found in page.every("meta") if "http-equiv" in found}
    assert policy == {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    assert not set(text) & {"\x1b", "\u202e", "\u2066"}


def colors_of(page: Page) -> dict[str, dict[str, str]]:
    """`light`, `dark` and `print` -> name -> colour, as the style of a page has them: `ink`, `soft`, `page`, ..., and
    `k0` and so on for charts."""
    (style,) = page.texts["style"]
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    dark, printed = dark.split("@media print")
    found: dict[str, dict[str, str]] = {"light": {}, "dark": {}, "print": {}}
    for name, part in (("light", light), ("dark", dark), ("print", printed)):
        found[name] |= dict(re.findall(r"--(\w+):(#\w+)", part)) | dict(re.findall(r"\.(k\d+){color:(#\w+)}", part))
    return found


def contrast(first: str, second: str) -> float:
    """The contrast of two colours, from 1 to 21: WCAG 2.2, relative luminance."""
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
