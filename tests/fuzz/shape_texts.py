"""Mutations of `.shape` texts that know the grammar: values, numbers, units, lists, brackets, sentences, names."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import mutate

from shapeflow.base.units import UNITS

NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
QUANTITY = re.compile(rf"({NUMBER.pattern})(\s*)(%|[A-Za-z]+)")
VALUE = re.compile(rf'"[^"\n]*"|\[[^\[\]]*\]|\w*\([^()]*\)|{NUMBER.pattern}(?: ?(?:%|[A-Za-z]+))?')
WORD = re.compile(r"[A-Za-z_]\w*")
SENTENCE = re.compile(r"^[a-z].*(?:\n(?![a-z#]).*)*", re.MULTILINE)
NUMBERS = [
    "0", "-0", "1", "-1", "2", "3", "0.5", "1e308", "1.7976931348623157e308", "-1e308", "1e309", "5e-324", "1e-320",
    "1e-400", "1e15", "1e18", "1e40", "100_000_000", "100_000_001", "2147483648", "9007199254740993", "1_0", "1__0",
    "0x10", "1.", ".5", "1e", "1e+", "+1", "01", "33.3333333333333333", "٣", "１",
]  # fmt: skip
UNICODE = [
    "\u202e", "\u2066", "\u200b", "\u200f", "\u061c", "\u0085", "\u009b31m", "\x1b[2J", "\u2028", "\ufeff", "\ud800",
    "e\u0301", "\U0001f600", "\U000e0001", "ﬁ", "ǆ", "İ", "\u00a0", "\u3000", "“", "”", "，", "：", "−", "\x7f", "\x08",
    "\r", "\v", "\f", "\x1c",
]  # fmt: skip


def change(source: str, draw: random.Random, others: Sequence[str]) -> str:
    """A text with one to four changes. `others`: texts to take sentences and words from."""
    if draw.random() < 0.35:
        return mutate.text(source, draw)
    for _ in range(draw.choice([1, 1, 2, 4])):
        source = draw.choice(CHANGES)(source, draw, draw.choice(others))
    return source[:400_000]


def _replaced(pattern: re.Pattern[str], source: str, draw: random.Random, new: str | None = None) -> str:
    """A text in which one match is replaced: by `new`, or by another match."""
    found = list(pattern.finditer(source))
    if not found:
        return source
    at = draw.choice(found)
    return source[: at.start()] + (draw.choice(found)[0] if new is None else new) + source[at.end() :]


def _number(source: str, draw: random.Random, _: str) -> str:
    new = draw.choice(NUMBERS)
    if draw.random() < 0.4:
        new = f"{draw.choice(['', '-'])}{draw.randrange(1, 1000) / 100}e{draw.randrange(-330, 330)}"
    return _replaced(NUMBER, source, draw, new)


def _scaled(source: str, draw: random.Random, _: str) -> str:
    found = list(NUMBER.finditer(source))
    if not found:
        return source
    at = draw.choice(found)
    try:
        new = float(at[0]) * draw.choice([-1, 0.1, 0.5, 2, 3, 7, 10, 1000])
    except ValueError:
        return source
    whole = new == new // 1 and abs(new) < 1e15
    return source[: at.start()] + (str(int(new)) if whole else repr(new)) + source[at.end() :]


def _unit(source: str, draw: random.Random, _: str) -> str:
    found = list(QUANTITY.finditer(source))
    if not found:
        return source
    at = draw.choice(found)
    return source[: at.start(3)] + draw.choice(sorted(UNITS)) + source[at.end(3) :]


def _value(source: str, draw: random.Random, other: str) -> str:
    """One value becomes another of the text, or of another text."""
    from_other = draw.random() < 0.4 and VALUE.findall(other)
    return _replaced(VALUE, source, draw, draw.choice(from_other) if from_other else None)


def _name(source: str, draw: random.Random, other: str) -> str:
    return _replaced(WORD, source, draw, draw.choice(WORD.findall(other) or ["a"]) if draw.random() < 0.7 else None)


def _sentence(source: str, draw: random.Random, other: str) -> str:
    """A sentence is removed, repeated, moved, replaced by one of another text, or added from it."""
    mine, theirs = SENTENCE.findall(source), SENTENCE.findall(other)
    if not mine or not theirs:
        return source
    at = draw.randrange(len(mine))
    match draw.randrange(5):
        case 0:
            del mine[at]
        case 1:
            mine.insert(draw.randrange(len(mine)), mine[at])
        case 2:
            mine.insert(draw.randrange(len(mine)), mine.pop(at))
        case 3:
            mine[at] = draw.choice(theirs)
        case _:
            mine.insert(at, draw.choice(theirs))
    return "\n".join(mine) + "\n"


def _list(source: str, draw: random.Random, _: str) -> str:
    """A value becomes a list: long, falling, with equal, mixed or huge entries."""
    count = draw.choice([0, 1, 2, 5, 33, 200, 1500])
    step = draw.choice([-1, 0, 1, 8, 1e-12, 1e300])
    entries = [f"{(1 + i) * step if step else 4:g}" for i in range(count)]
    if entries and draw.random() < 0.3:
        entries[draw.randrange(count)] = draw.choice(['"a"', "[1]", "1 px", "b(c: 1)", "x", "nan"])
    return _replaced(VALUE, source, draw, f"[{', '.join(entries)}]{draw.choice(['', ' px', ' tokens', ' q'])}")


def _deep(source: str, draw: random.Random, _: str) -> str:
    """A value or a sentence within many brackets, negations or names."""
    found = VALUE.findall(source)
    inner, deep = draw.choice(found) if found else "1", draw.choice([1, 2, 8, 30, 31, 32, 33, 400])
    match draw.randrange(5):
        case 0:
            return _replaced(VALUE, source, draw, "[" * deep + inner + "]" * deep)
        case 1:
            return _replaced(VALUE, source, draw, "a(b: " * deep + inner + ")" * deep)
        case 2:
            return source + f"\ncandidates width where {'not (' * deep}width > 1{')' * deep}\n"
        case 3:
            return source + f"\ncandidates width where {' or '.join(f'width is {i}' for i in range(deep))}\n"
        case _:
            lets = "".join(f"let n{i} = [n{i - 1}, n{i - 1}]\n" for i in range(1, min(deep, 40)))
            return _replaced(VALUE, f"{source}\nlet n0 = {inner}\n{lets}", draw, f"n{min(deep, 40) - 1}")


def _setting(source: str, draw: random.Random, other: str) -> str:
    """A setting of a component is added, or one is removed."""
    found = list(re.finditer(r"\w+: [^,()\[\]]+", source))
    if found and draw.random() < 0.4:
        at = draw.choice(found)
        return source[: at.start()] + source[at.end() :]
    more = draw.choice(re.findall(r"\w+: [^,()\[\]\n]+", other) or ["a: 1"])
    return re.sub(r"\(", lambda _: f"({more}, ", source, count=1) if draw.random() < 0.5 else source + f" ({more})"


def _unicode(source: str, draw: random.Random, _: str) -> str:
    odd = draw.choice(UNICODE) * draw.choice([1, 1, 1, 50])
    if draw.random() < 0.5:
        return _replaced(re.compile(r'(?<=")[^"\n]*(?=")'), source, draw, odd)
    at = draw.randrange(len(source) + 1)
    return source[:at] + odd + source[at:]


CHANGES = (
    _number, _number, _scaled, _scaled, _unit, _value, _value, _name, _sentence, _sentence, _list, _deep, _setting,
    _unicode,
)  # fmt: skip
