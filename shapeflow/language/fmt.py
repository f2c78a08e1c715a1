"""Formatter: from `Document` to text in the canonical layout. Formatting is idempotent.

Only white space changes; words, numbers, units and comments stay as written. Line breaks before `via`, `where`, `is`,
`with`, `until` or the `from` of `weights` are kept. A sentence that would exceed 100 columns is broken at these words,
and if needed before the `or` of a condition. Blank lines are kept, at most one in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from shapeflow.language import syntax

WIDTH = 100
"""Maximum columns of a line. Only parts that cannot be broken may exceed it."""
KEYWORD = 11
"""Columns of the reserved word and the spaces after it, in sentences that are aligned as a table."""

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def formatted(document: syntax.Document) -> str:
    """The document's text in the canonical layout; it parses to an equal document."""
    lines: list[str] = []
    for run in _runs(_entries(document)):
        if run[0].blank and lines:
            lines.append("")
        lines += _aligned(run) if len(run) > 1 else run[0].lines()
    return "".join(f"{line}\n" for line in lines)


@attrs.frozen
class _Part:
    """A part of a sentence between two possible line breaks: its words, and the value after them. If the part is too
    long for a line, the value is broken."""

    head: str
    body: syntax.Value | None
    start: int
    end: int

    @property
    def flat(self) -> str:
        return self.head + ("" if self.body is None else _value(self.body))

    def lines(self, indent: int) -> list[str]:
        """The lines of the part. If it is too long, a condition is broken before `or`, and a value between its
        items."""
        if self.body is not None or not self.head.startswith("where ") or '"' in self.head:
            return _spread(self.head, self.body, indent)
        first, *tests = self.head.split(" or ")
        found = [" " * indent + first]
        for test in tests:
            longer = f"{found[-1]} or {test}"
            found[-1:] = [longer] if len(longer) <= WIDTH else [found[-1], f"{' ' * (indent + 2)}or {test}"]
        return found


@attrs.define(eq=False)
class _Entry:
    """A sentence split into parts, or a comment on its own line. Contains the comments above and next to each part."""

    what: syntax.Sentence | syntax.Comment
    parts: list[_Part]
    end: int
    blank: bool
    """Whether there is a blank line above."""
    broken: bool
    """Whether each part has its own line."""
    above: dict[int, list[str]] = attrs.field(factory=dict)
    trailing: dict[int, str] = attrs.field(factory=dict)

    def take(self, comment: syntax.Comment, text: str) -> None:
        """Add a comment within the sentence, or after it on the same line."""
        at = comment.span.start
        index = sum(part.end <= at for part in self.parts)
        if index and index - 1 not in self.trailing and not _breaks(text, self.parts[index - 1].end, at):
            self.trailing[index - 1] = comment.text
        else:
            self.above.setdefault(index, []).append(comment.text)
        self.end = max(self.end, comment.span.end)
        self.broken |= bool(self.above.keys() - {0}) or bool(self.trailing.keys() - {len(self.parts) - 1})

    def joins(self, other: _Entry) -> bool:
        """Whether this entry directly follows one of its kind, so that the two are aligned as a table."""
        alike = type(self.what) is type(other.what) and isinstance(self.what, syntax.Axis | syntax.Stage)
        return (
            alike
            and len(self.parts) == len(other.parts) == 2
            and not (self.blank or self.broken or other.broken or 0 in self.above)
        )

    def lines(self) -> Iterator[str]:
        """The lines of an entry outside a table."""
        flat = " ".join(part.flat for part in self.parts)
        if not self.broken and len(flat) <= WIDTH:
            return self.with_comments([[flat]])
        indent = KEYWORD if isinstance(self.what, syntax.LawFor) else 2
        indents = [0, *[indent] * (len(self.parts) - 1)]
        spread = [part.lines(indent) for part, indent in zip(self.parts, indents, strict=True)]
        return self.with_comments(spread, indents)

    def with_comments(self, lines: Sequence[list[str]], indents: Sequence[int] = (0,)) -> Iterator[str]:
        """The lines of the parts, or one line for all of them, with the comments above and next to them."""
        for index, (of_part, indent) in enumerate(zip(lines, indents, strict=True)):
            yield from (" " * indent + comment for comment in self.above.get(index, ()))
            yield from of_part[:-1]
            trailing = self.trailing.get(index if len(lines) > 1 else len(self.parts) - 1)
            yield of_part[-1] if trailing is None else f"{of_part[-1]}  {trailing}"


def _entries(document: syntax.Document) -> list[_Entry]:
    """Sentences and comments in file order, each comment with the sentence that it is in or next to."""
    text = document.source.text
    entries: list[_Entry] = []
    for what in sorted((*document.sentences, *document.comments), key=lambda what: what.span.start):
        last = entries[-1] if entries else None
        breaks = 0 if last is None else _breaks(text, last.end, what.span.start)
        if isinstance(what, syntax.Comment):
            if last is not None and isinstance(last.what, syntax.Sentence) and not breaks:
                last.take(what, text)
                continue
            parts = [_Part(what.text, None, what.span.start, what.span.end)]
        else:
            parts = list(_parts(what))
        broken = any(_breaks(text, a.end, b.start) for a, b in pairwise(parts))
        entries.append(_Entry(what, parts, what.span.end, breaks > 1, broken))
    return entries


def _breaks(text: str, start: int, end: int) -> int:
    return len(_LINE_BREAK.findall(text[start:end]))


def _runs(entries: list[_Entry]) -> list[list[_Entry]]:
    """Group the entries: those of one table together, each other entry on its own."""
    runs: list[list[_Entry]] = []
    for entry in entries:
        if runs and entry.joins(runs[-1][-1]):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def _aligned(run: list[_Entry]) -> Iterator[str]:
    """The lines of a table. If a line would be too long, every sentence of the table is broken instead."""
    rows = [_cells(entry) for entry in run]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    fits = max(map(len, lines)) <= WIDTH
    for entry, line in zip(run, lines, strict=True):
        entry.broken = not fits
        yield from entry.with_comments([[line]]) if fits else entry.lines()


def _cells(entry: _Entry) -> list[str]:
    """The cells of a table row: the name, values and transition of an axis, or the shape and end of a stage."""
    first, last = (part.flat for part in entry.parts)
    if isinstance(entry.what, syntax.Axis):
        name, _, values = first.partition(" in ")
        return [f"{name} ", f"in {values}  ", last]
    return [f"{first} ", last]


def _parts(sentence: syntax.Sentence) -> Iterator[_Part]:
    """The parts of a sentence. Line breaks are possible between parts."""
    start, end = sentence.span.start, sentence.span.end
    match sentence:
        case syntax.Axis(name=name, values=values, transition=transition):
            yield _Part(f"axis {name} in ", values, start, values.span.end)
            yield _Part("via ", transition, transition.span.start, end)
        case syntax.Candidates(axes=axes, condition=condition):
            yield _Part("candidates " + " * ".join(name for name, _ in axes), None, start, axes[-1][1].end)
            if condition is not None:
                yield _Part("where " + _condition(condition), None, condition.span.start, end)
        case syntax.Weights(shares=weights, start=first):
            yield _Part(f"{'weights':<{KEYWORD}}", weights, start, weights.span.end)
            yield _Part("from ", first, first.span.start, end)
        case syntax.LawFor(shape=shape, law=law):
            yield _Part(f"{'law':<{KEYWORD}}for ", shape, start, shape.span.end)
            yield _Part("is ", law, law.span.start, end)
        case syntax.Stage(shape=shape, blends=blends, until=until):
            yield _Part("stage ", shape, start, shape.span.end)
            if blends:
                shares = ", ".join(f"{_value(blend.share)} {_value(blend.shape)}" for blend in blends)
                yield _Part(f"with {shares}", None, blends[0].span.start, blends[-1].span.end)
            yield _Part("until " if until else "until end", until, until.span.start if until else end - len("end"), end)
        case syntax.Checkpoint(every=every, keep=syntax.Keep(newest=newest, best=best, span=span)):
            yield _Part(f"{'checkpoint':<{KEYWORD}}every ", every, start, every.span.end)
            count = "all" if newest is None else _value(newest)
            yield _Part(f"keep {count}{' and best' * best}", None, span.start, end)
        case _:
            yield _Part(*_line(sentence), start, end)


_WORDS: dict[type[syntax.Sentence], tuple[str, str]] = {
    syntax.Model: ("model", ""),
    syntax.Data: ("data", ""),
    syntax.Objective: ("objective", ""),
    syntax.Optimizer: ("optimizer", ""),
    syntax.Metric: ("metric", ""),
    syntax.LawsFrom: ("laws", "from "),
    syntax.CreditsFrom: ("credits", "from "),
    syntax.ProfileFrom: ("profile", "from "),
    syntax.Traversal: ("traversal", ""),
    syntax.Budget: ("budget", ""),
    syntax.StartAt: ("start", "at error "),
    syntax.StartFrom: ("start", "from "),
    syntax.Minimise: ("minimise", ""),
    syntax.Schedule: ("schedule", ""),
    syntax.Cooldown: ("cooldown", ""),
    syntax.Evaluate: ("evaluate", "every "),
    syntax.Checkpoint: ("checkpoint", "every "),
    syntax.Seed: ("seed", ""),
}
"""Kind of sentence with a single value -> the words before the value. The first word has its own column."""


def _line(sentence: syntax.Sentence) -> tuple[str, syntax.Value | None]:
    """The words at the start of a sentence, which stay on one line, and the value after them."""
    match sentence:
        case syntax.PlanName(name=name):
            return f"plan {_value(name)}", None
        case syntax.Use(path=path, name=name):
            return f"use {_value(path)} as {name}", None
        case syntax.Let(name=name, value=value):
            return f"let {name} = ", value
        case syntax.StopWhen(condition=condition):
            return f"{'stop':<{KEYWORD}}when {_condition(condition)}", None
        case syntax.OfComponent(component=value) | syntax.Budget(value=value) | syntax.StartAt(value=value):
            pass
        case syntax.ProfileFrom(path=value, every=True):
            return f"{'profile':<{KEYWORD}}from {_value(value)} for all", None
        case syntax.CreditsFrom(path=value) | syntax.ProfileFrom(path=value) | syntax.StartFrom(path=value):
            pass
        case syntax.Evaluate(every=value, on=on) if on is not None:
            return f"{'evaluate':<{KEYWORD}}every {_value(value)} on ", on
        case syntax.Evaluate(every=value) | syntax.Checkpoint(every=value) | syntax.Seed(number=value):
            pass
        case syntax.Cooldown(value=value):
            pass
    word, others = _WORDS[type(sentence)]
    return f"{word:<{KEYWORD}}{others}", value


def _value(value: syntax.Value) -> str:
    """A value on one line."""
    match value:
        case syntax.Number(text=text):
            return text
        case syntax.Quantity(number=number, unit=unit):
            return f"{number.text}%" if unit == "%" else f"{number.text} {unit}"
        case syntax.Text(value=text):
            return f'"{text}"'
        case syntax.Reference(parts=parts):
            return ".".join(parts)
        case _:
            opening, items, closing = _bracketed(value)
            return opening + ", ".join(head + _value(item) for head, item in items) + closing


def _bracketed(
    value: syntax.Listing | syntax.Component | syntax.ShapeLiteral,
) -> tuple[str, list[tuple[str, syntax.Value]], str]:
    """The opening of a value, its items with the words before each, and its closing."""
    match value:
        case syntax.Listing(items=items, unit=unit):
            return "[", [("", item) for item in items], "]" if unit is None else f"] {unit}"
        case syntax.Component(called=False, name=name):
            return name, [], ""
        case syntax.Component(name=name, arguments=arguments, settings=settings):
            named = [(f"{s.name}: ", s.value) for s in settings]
            return f"{name}(", [*(("", argument) for argument in arguments), *named], ")"
        case syntax.ShapeLiteral(settings=settings):
            return "(", [(f"{s.name}: ", s.value) for s in settings], ")"


def _spread(head: str, value: syntax.Value | None, indent: int, tail: str = "") -> list[str]:
    """Words and a value, on one line if they fit. Otherwise the items go below: one setting per line, or as many list
    items per line as fit."""
    pad = " " * indent
    line = f"{pad}{head}{'' if value is None else _value(value)}{tail}"
    if len(line) <= WIDTH or not isinstance(value, syntax.Listing | syntax.Component | syntax.ShapeLiteral):
        return [line]
    opening, items, closing = _bracketed(value)
    if not items:
        return [line]
    inner: list[str] = []
    for before, item in items:
        below = _spread(before, item, indent + 2, ",")
        if inner and isinstance(value, syntax.Listing) and len(inner[-1]) + len(below[0]) - indent - 1 <= WIDTH:
            inner[-1] += " " + below.pop(0).lstrip()
        inner += below
    return [f"{pad}{head}{opening}", *inner, f"{pad}{closing}{tail}"]


def _condition(condition: syntax.Condition) -> str:
    match condition:
        case syntax.Comparison(axis=axis, operator=operator, value=value):
            return f"{axis} {operator} {_value(value)}"
        case syntax.Not(test=test):
            return f"not {_within(test, syntax.All, syntax.Any_, syntax.Not)}"
        case syntax.All(tests=tests):
            return " and ".join(_within(test, syntax.All, syntax.Any_) for test in tests)
        case syntax.Any_(tests=tests):
            return " or ".join(_within(test, syntax.Any_) for test in tests)


def _within(condition: syntax.Condition, *bracketed: type[syntax.Condition]) -> str:
    """A condition inside another, in brackets if needed."""
    text = _condition(condition)
    return f"({text})" if isinstance(condition, bracketed) else text
