"""What may be written at an offset: reserved words that the grammar accepts there, and names that fit."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.files import read_text
from shapeflow.base.units import UNITS
from shapeflow.editing import nodes
from shapeflow.editing.hover import pages
from shapeflow.explain import ComponentHelp, overview
from shapeflow.language import syntax
from shapeflow.language.parse import expected, reserved_words
from shapeflow.language.skim import BRACKETS, Piece, skim

_WORD = f"{string.ascii_letters}{string.digits}_"
"""Characters of a word that is being typed."""
_AFTER: dict[tuple[str, ...], str] = {
    **{
        (word,): word for word in ("model", "data", "objective", "optimizer", "metric", "traversal", "schedule", "axis")
    },
    ("minimise",): "cost",
    ("laws", "from"): "law source",
    ("via",): "transition",
}
"""The last words before the cursor -> the kind of component that belongs there."""
_NAMES_AXES = {"candidates", "*", "where", "and", "or", "not"}
"""Words and marks outside brackets that the name of an axis follows."""


@attrs.frozen
class Item:
    """Something that may be written: its text, what kind of word it is, a line of help, and the text to insert."""

    label: str
    kind: Literal["sentence", "word", "component", "setting", "name", "unit"]
    detail: str = ""
    insert: str = ""

    @property
    def text(self) -> str:
        return self.insert or self.label


def complete(path: Path, text: str, offset: int, read: Callable[[Path], str] = read_text) -> tuple[Item, ...]:
    """The words that may be written at an offset, in place of the part of a word that ends there. None in a comment or
    in a text in quotes."""
    before = text[:offset]
    before = before.rstrip(_WORD)
    pieces = skim(before)
    accepted = expected(before, pieces)
    if not accepted:
        return ()
    pieces = [piece for piece in pieces if piece.kind != "comment"]
    work = _Completing(nodes.document_of(path, text), pieces, accepted, read)
    found = {item.label: item for item in (*work.names(), *work.words())}
    return tuple(found.values())


@attrs.frozen
class _Completing:
    """The place of the cursor: the pieces before it, and the terminals that may follow."""

    document: syntax.Document
    pieces: Sequence[Piece]
    accepted: frozenset[str]
    read: Callable[[Path], str]

    def words(self) -> Iterator[Item]:
        """The reserved words that may follow."""
        reserved = reserved_words()
        said = overview().sentences
        for word in sorted(reserved.spelling[name] for name in self.accepted & set(reserved.spelling)):
            if word in reserved.openers:
                yield Item(word, "sentence", said.get(word, ""))
            elif word.isalpha():
                yield Item(word, "word")

    def names(self) -> Iterator[Item]:
        """The names that fit here. Where a name cannot follow, the grammar does not accept one."""
        if "NAME" not in self.accepted or not self.pieces:
            return
        last, open_ = self.pieces[-1], self._open()
        if last.text == ".":
            yield from self._of_file()
        elif last.kind == "number" or last.text == "]":
            yield from (Item(name, "unit", unit.dimension) for name, unit in UNITS.items() if name.isalpha())
        elif open_ is not None:
            yield from self._in_brackets(open_)
        elif (kind := self._kind()) is not None:
            yield from self._components(kind)
        elif last.text in _NAMES_AXES and self._sentence() == "candidates":
            yield from self._axes(set())
        elif {"NUMBER", "STRING"} <= self.accepted:
            yield from self._values()

    def _open(self) -> int | None:
        """The index of the innermost open bracket."""
        opened: list[int] = []
        for index, piece in enumerate(self.pieces):
            if piece.text in BRACKETS:
                opened.append(index)
            elif piece.text in BRACKETS.values() and opened:
                opened.pop()
        return opened[-1] if opened else None

    def _sentence(self) -> str | None:
        """The reserved word of the sentence at the cursor."""
        openers = reserved_words().openers
        return next((piece.text for piece in reversed(self.pieces) if piece.first and piece.text in openers), None)

    def _kind(self) -> str | None:
        """The kind of component that belongs at the cursor; None if it is not known."""
        last = tuple(piece.text for piece in self.pieces[-2:])
        if last[-1] == "is" and self._sentence() == "law":
            return "law"
        return _AFTER.get(last, _AFTER.get(last[-1:]))

    def _components(self, kind: str) -> Iterator[Item]:
        """The components of a kind. A transition must move along the axis of its sentence."""
        words = [piece.text for piece in self.pieces]
        axes = [name for word, name in pairwise(words) if word == "axis" and kind == "transition"]
        for name, detail in overview().components[kind].items():
            # The example of a transition is an axis that it moves along.
            if not axes or any(page.example.startswith(f"axis {axes[-1]} ") for page in _components(name)):
                yield Item(name, "component", detail)

    def _in_brackets(self, opened: int) -> Iterator[Item]:
        """Settings of a component, axes of a shape, or values."""
        owner, last, inside = self.pieces[opened - 1], self.pieces[-1], self.pieces[opened + 1 :]
        shape = owner.kind != "word" or owner.text in reserved_words().spelling.values()
        given = {word.text for word, mark in pairwise(inside) if mark.text == ":"}
        listing = self.pieces[opened].text == "["
        if last.text == ":":
            yield from self._of_setting("" if shape else owner.text, self.pieces[-2].text)
        elif shape and not listing:
            yield from self._axes(given, ": " if self._sentence() != "candidates" else "")
        elif not listing:
            for page in _components(owner.text):
                for each in page.settings:
                    if each.name not in given:
                        yield Item(each.name, "setting", each.help or each.value, f"{each.name}: ")
        if last.text != ":" and {"NUMBER", "STRING"} <= self.accepted:
            yield from self._values()

    def _of_setting(self, owner: str, setting: str) -> Iterator[Item]:
        """The values of a setting, or of an axis in a shape."""
        for page in _components(owner) if owner else ():
            for each in page.settings:
                if each.name == setting:
                    yield from (Item(option, "component") for option in each.options)
        if not owner:
            for axis in nodes.sentences(self.document, syntax.Axis):
                values = axis.values if axis.name == setting else None
                if isinstance(values, syntax.Listing):
                    unit = f" {values.unit}" if values.unit else ""
                    yield from (Item(f"{item.span.text}{unit}", "name") for item in values.items)
        yield from self._values()

    def _axes(self, given: set[str], after: str = "") -> Iterator[Item]:
        for axis in nodes.sentences(self.document, syntax.Axis):
            if axis.name not in given:
                yield Item(axis.name, "name", axis.span.text.splitlines()[0], axis.name + after)

    def _values(self) -> Iterator[Item]:
        """The names of `let` and `use` sentences."""
        for each in nodes.sentences(self.document, syntax.Let):
            yield Item(each.name, "name", each.value.span.text.splitlines()[0])
        for use in nodes.sentences(self.document, syntax.Use):
            yield Item(use.name, "name", f"names of {use.path.value}")

    def _of_file(self) -> Iterator[Item]:
        """The names of the file that is named before the dot."""
        other = nodes.used(self.document, self.pieces[-2].text, self.read) if len(self.pieces) > 1 else None
        for each in nodes.sentences(other, syntax.Let) if other is not None else ():
            yield Item(each.name, "name", each.value.span.text.splitlines()[0])


def _components(name: str) -> list[ComponentHelp]:
    return [page for page in pages(name) if isinstance(page, ComponentHelp)]
