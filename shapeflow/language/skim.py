"""A simple tokenizer that does not use the grammar, for texts that the parser rejects."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import attrs

from shapeflow.base.diagnostics import did_you_mean

_SKIM = re.compile(
    r"""(?P<comment>\#[^\r\n]*) | (?P<text>"[^"\r\n]*"?) | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[+-]?[0-9][0-9_.]*(?:[eE][+-]?[0-9]+)?) | (?P<mark><=|>=|[^\s]) | (?P<break>\r\n|\r|\n)""",
    re.VERBOSE,
)
BRACKETS = {"(": ")", "[": "]"}
_NOT_BEHIND_AN_OPENER = {":", ",", ")", "]", "."}


@attrs.frozen
class Piece:
    """A word, number, punctuation mark, text or comment. `first`: whether it is the first on its line."""

    kind: str
    text: str
    start: int
    end: int
    first: bool


@attrs.frozen
class ReservedWords:
    """The reserved words of the grammar. `spelling`: terminal -> its text; `openers`: the words that begin a
    sentence."""

    spelling: dict[str, str]
    openers: frozenset[str]


def skim(text: str, most: int | None = None) -> list[Piece]:
    """The pieces of a text, of which the first `most`. Accepts any text."""
    pieces, first = [], True
    for match in _SKIM.finditer(text):
        kind, found = match.lastgroup or "", match[0]
        if kind == "break":
            first = True
        elif found != "\ufeff":
            pieces.append(Piece(kind, found, *match.span(), first))
            first = False
            if len(pieces) == most:
                break
    return pieces


def piece_at(text: str, offset: int) -> Piece | None:
    """The piece that an offset is in. No piece goes beyond its line, so only one line is read."""
    begin = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    line = re.compile(r"[^\r\n]*").match(text, begin)
    pieces = skim("" if line is None else line[0])
    found = next((piece for piece in pieces if begin + piece.start <= offset < begin + piece.end), None)
    return None if found is None else attrs.evolve(found, start=begin + found.start, end=begin + found.end)


def too_deep(pieces: list[Piece], deepest: int) -> Piece | None:
    """The first bracket that is nested deeper than `deepest`; None if there is none."""
    depth = 0
    for piece in pieces:
        depth += (piece.text in BRACKETS) - (piece.text in BRACKETS.values())
        if depth > deepest:
            return piece
    return None


def sentence_starts(pieces: list[Piece], reserved: ReservedWords) -> Iterator[int]:
    """The offsets of lines that begin with a sentence's reserved word, or with a word close to one."""
    words = [piece for piece in pieces if piece.kind != "comment"]
    others = set(reserved.spelling.values()) - reserved.openers
    for piece, behind in itertools.zip_longest(words, words[1:]):
        if piece.kind != "word" or not piece.first or piece.text in others:
            continue
        if behind is not None and behind.text in _NOT_BEHIND_AN_OPENER:
            continue
        if piece.text in reserved.openers or did_you_mean(piece.text, reserved.openers):
            yield piece.start
