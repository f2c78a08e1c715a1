"""Renders diagnostics as text and as JSON.

```
error[unknown-transition]: no transition is called `flexi_rezise`
  --> vit.shape:13:7
   |
13 |   via flexi_rezise(base: 8 px)
   |       ^^^^^^^^^^^^ not a transition
   = help: did you mean `flexi_resize`?
```
"""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Label, Source, Span
from shapeflow.base.safe import safe

TAB = "    "
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_STYLES = {"error": "bold red", "warning": "bold yellow", "-": "blue", "frame": "blue", "message": "bold"}


def render(d: Diagnostic, *, color: bool = False, verbose: bool = False) -> str:
    """The diagnostic as lines of text. `color`: use terminal colours; `verbose`: include the details."""
    paint = _Paint(d.severity, color)
    lines = [paint(f"{d.severity}[{d.code}]", d.severity) + paint(f": {_clipped(d.message)}", "message")]
    marks = [] if d.at is None else [_Mark(d.at, "^")]
    marks += [_Mark(label, "-") for label in d.also]
    sources = list(dict.fromkeys(mark.label.span.source for mark in marks))
    pad = " " * max((len(str(mark.line + 1)) for mark in marks), default=2)
    if d.at is None and d.place is not None:
        lines.append(paint(f"{pad}--> ", "frame") + safe(d.place))
    for source in sources:
        arrow = "-->" if d.at is not None and d.at.span.source is source else ":::"
        lines += _block([mark for mark in marks if mark.label.span.source is source], pad, arrow, paint)
    said = [("note", note) for note in (*d.notes, *(d.details if verbose else ()))]
    if d.details and not verbose:
        said.append(("note", f"{len(d.details)} more: `--verbose` shows them"))
    said += [("help", d.help)] if d.help else []
    for word, text in said:
        following = "\n" + " " * (len(pad) + 9)
        lines.append(paint(f"{pad} = ", "frame") + f"{word}: " + following.join(map(_clipped, text.split("\n"))))
    return "\n".join(lines)


def as_json(d: Diagnostic) -> dict[str, Any]:
    """The diagnostic as a JSON value. Lines and columns count from 1; the end column is exclusive."""
    place = _place(d.at.span) if d.at is not None else _NOWHERE
    return {
        "code": d.code,
        "severity": d.severity,
        "message": d.message,
        **place,
        "label": d.at.text if d.at is not None else "",
        "place": d.place,
        "labels": [{**_place(label.span), "text": label.text} for label in d.also],
        "notes": list(d.notes),
        "details": list(d.details),
        "help": d.help,
    }


_NOWHERE: dict[str, Any] = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))


def _place(span: Span) -> dict[str, Any]:
    lines = _Lines.of(span.source)
    (line, column), (end_line, end_column) = lines.at(span.start), lines.at(span.end)
    return {
        "file": span.source.name,
        "line": line + 1,
        "column": column + 1,
        "end_line": end_line + 1,
        "end_column": end_column + 1,
    }


@attrs.frozen
class _Lines:
    """The start and end of each line of a text, without line breaks."""

    starts: list[int]
    ends: list[int]

    @classmethod
    @functools.lru_cache(maxsize=4)
    def of(cls, source: Source) -> _Lines:
        breaks = list(_LINE_BREAK.finditer(source.text))
        return cls([0, *(b.end() for b in breaks)], [*(b.start() for b in breaks), len(source.text)])

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, from 0."""
        line = bisect_right(self.starts, offset) - 1
        return line, offset - self.starts[line]


LONG = 400
"""Characters of a line above which only a part of it is shown around each label."""
MOST = 1_000
"""Characters of a line of a message that are shown."""
BEFORE, AFTER = 60, 200
"""Characters of this part before and after the start of the label."""


def _clipped(text: str) -> str:
    """A line that is safe to print, without the rest of a very long one: it may quote a name of a file."""
    return safe(text if len(text) <= MOST else f"{text[:MOST]}...")


class _Mark:
    """A label on the first line of its span, in screen columns. `shown`: the line, or the part of a long one."""

    def __init__(self, label: Label, sign: str) -> None:
        span, lines = label.span, _Lines.of(label.span.source)
        text = span.source.text
        self.label, self.sign = label, sign
        self.line, self.character = lines.at(span.start)
        begin, stop = start, end = lines.starts[self.line], lines.ends[self.line]
        self.part = end - begin > LONG
        if self.part:
            start, end = max(begin, span.start - BEFORE), min(stop, span.start + AFTER)
        before, after = "..." if start > begin else "", "..." if end < stop else ""
        self.shown = f"{before}{_shown(text[start:end]).rstrip()}{after}"
        self.column = len(before) + _columns(_shown(text[start : span.start]))
        self.width = max(1, _columns(_shown(text[span.start : min(span.end, end)])))


@attrs.frozen
class _Paint:
    """Colours text if colour is enabled."""

    severity: str
    color: bool

    def __call__(self, text: str, style: str) -> str:
        if not self.color:
            return text
        # Import rich only for a terminal, since it is slow to import.
        from rich.color import ColorSystem
        from rich.style import Style

        style = self.severity if style == "^" else style
        return Style.parse(_STYLES[style]).render(text, color_system=ColorSystem.STANDARD)


def _block(marks: list[_Mark], pad: str, arrow: str, paint: _Paint) -> Iterator[str]:
    """The marked lines of one source. The place after the arrow is that of the first mark."""
    first = marks[0]
    yield paint(f"{pad}{arrow} ", "frame") + (
        f"{safe(first.label.span.source.name)}:{first.line + 1}:{first.character + 1}"
    )
    yield paint(f"{pad} |", "frame")
    before = None
    for line in sorted({mark.line for mark in marks}):
        here = [mark for mark in marks if mark.line == line]
        if before is not None and line > before + 1:
            yield paint(f"{pad}...", "frame")
        for row in [[mark] for mark in here] if here[0].part else [here]:
            yield (paint(f"{line + 1:>{len(pad)}} |", "frame") + f" {row[0].shown}").rstrip()
            for mark in sorted(row, key=lambda mark: -mark.column):
                words = f"{mark.sign * mark.width} {_clipped(mark.label.text)}".rstrip()
                yield paint(f"{pad} |", "frame") + " " * (mark.column + 1) + paint(words, mark.sign)
        before = line


def _shown(text: str) -> str:
    """Source text as it is drawn: tabs expanded, control characters replaced."""
    return safe(text.replace("\t", TAB))


def _columns(text: str) -> int:
    """The width of a text in terminal columns."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
