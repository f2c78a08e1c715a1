"""The error messages for the places where the parser stops."""

from __future__ import annotations

import re
import unicodedata

import attrs

from shapeflow.base.diagnostics import Diagnostic, Label, Source, Span, did_you_mean
from shapeflow.language.skim import BRACKETS, Piece, ReservedWords

EXAMPLES = {
    "plan": 'plan "my plan"',
    "use": 'use "common/sizes.shape" as sizes',
    "let": "let longest = 2048 tokens",
    "model": "model vit(depth: 12, width: 640, head_width: 64)",
    "data": "data fashion_mnist(image: 24 px, batch: 64)",
    "weights": "weights [20%, 80%] from 85%",
    "objective": "objective cross_entropy",
    "optimizer": "optimizer adamw(lr: 1e-3)",
    "metric": "metric fewshot_error(shots: 10)",
    "axis": "axis patch in [16, 8] px via flexi_resize(base: 16 px)",
    "candidates": "candidates patch * width where width >= 384",
    "laws": 'laws from fit("runs/*.csv")',
    "law": "law for (patch: 8 px) is power(a: 4.1, b: 0.3)",
    "credits": 'credits from "credits.json"',
    "profile": 'profile from "digits.profile.json"',
    "minimise": "minimise dollars(price: 2.50)",
    "traversal": "traversal steepest",
    "stage": "stage (patch: 16 px) until 40%",
    "budget": "budget 10 EFLOPs",
    "start": "start at error 120%",
    "stop": "stop when error <= 24%",
    "schedule": "schedule cosine(final: 10%)",
    "cooldown": "cooldown 15%",
    "evaluate": "evaluate every 1000 steps",
    "checkpoint": "checkpoint every 5%",
    "seed": "seed 17",
}
"""Reserved word -> an example of its sentence, which the help of an error shows."""

LOOKALIKES = {
    **dict.fromkeys("“”„‟«»″＂'‘’`", '"'),
    **dict.fromkeys("−–—‐‑－", "-"),
    **{"≤": "<=", "≥": ">=", "×": "*", "·": "*", "⋅": "*", "，": ",", "、": ",", "：": ":", "％": "%", "＝": "="},
    **{"（": "(", "）": ")", "［": "[", "］": "]", "{": "(", "}": ")", "\u00a0": "a space", "\u3000": "a space"},
    **{";": "a new line", "/": "#"},
}
"""Characters that are not part of the language -> the likely intended ones."""


@attrs.frozen
class Mistake:
    """Where the parser stopped, the terminal found there ("" if none matches), and the terminals that it accepts
    there."""

    terminal: str
    start: int
    end: int
    accepted: frozenset[str]

    def moved(self, by: int) -> Mistake:
        return attrs.evolve(self, start=self.start + by, end=self.end + by)


def explain(source: Source, pieces: list[Piece], mistake: Mistake, reserved: ReservedWords) -> Diagnostic:
    """The diagnostic for a mistake; `pieces` are those of the text that was parsed."""
    return _Explainer(source, [piece for piece in pieces if piece.kind != "comment"], mistake, reserved).explain()


@attrs.frozen
class _Explainer:
    source: Source
    pieces: list[Piece]
    mistake: Mistake
    reserved: ReservedWords

    def explain(self) -> Diagnostic:
        before = [piece for piece in self.pieces if piece.end <= self.mistake.start]
        if not self.mistake.terminal:
            return self._stray()
        opened = self._open(before)
        if self.mistake.terminal == "$END":
            return self._unclosed(opened, before) if opened else self._cut_short(before)
        if self.found in BRACKETS.values():
            return self._wrong_close(opened, before)
        if self.sentence_may_begin:
            return self._no_sentence()
        if opened and (strayed := self._sentence_goes_on(before)) is not None:
            return self._unclosed(opened, before[:strayed])
        return self._unexpected(before)

    @property
    def found(self) -> str:
        return self.source.text[self.mistake.start : self.mistake.end]

    @property
    def sentence_may_begin(self) -> bool:
        return "PLAN" in self.mistake.accepted

    def error(
        self,
        message: str,
        why: str,
        span: Span | None = None,
        *,
        also: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: str | None = None,
    ) -> Diagnostic:
        at = Label(span or Span(self.source, self.mistake.start, self.mistake.end), why)
        return Diagnostic("syntax", message, at, also=also, notes=notes, help=help)

    def _stray(self) -> Diagnostic:
        """The diagnostic for a character that cannot begin a token."""
        text, start = self.source.text, self.mistake.start
        character = text[start]
        if character == '"':
            end = start + len(re.split(r"[\r\n]", text[start:], maxsplit=1)[0])
            return self.error(
                "a text is not closed",
                'no `"` before the end of the line',
                Span(self.source, start, end),
                help='close it with `"`',
            )
        at = self._word_at(start)
        name = character if character.isprintable() else f"U+{ord(character):04X}"
        if character in LOOKALIKES:
            instead = LOOKALIKES[character]
            instead = instead if " " in instead else f"`{instead}`"
            return self.error(
                f"the character `{name}` is not allowed", "not allowed here", at, help=f"write {instead} instead"
            )
        if character.isalpha() or character == "_":
            return self.error(
                f"`{at.text}` is not a valid name",
                "not a name",
                at,
                notes=("names consist of a-z, A-Z, 0-9 and _, and begin with a letter",),
            )
        described = unicodedata.name(character, "a control character").lower()
        return self.error(f"the character `{name}` is not allowed", described, at, help="remove it")

    def _word_at(self, start: int) -> Span:
        """The word around a character, or the character if it is in no word."""
        text = self.source.text
        if (after := re.compile(r"\w+").match(text, start)) is None:
            return Span(self.source, start, start + 1)
        begin = start
        while begin and re.match(r"\w", text[begin - 1]):
            begin -= 1
        return Span(self.source, begin, after.end())

    def _open(self, before: list[Piece]) -> list[Piece]:
        """The brackets that are open at the mistake, outermost first."""
        opened: list[Piece] = []
        for piece in before:
            if piece.text in BRACKETS:
                opened.append(piece)
            elif opened and piece.text == BRACKETS[opened[-1].text]:
                opened.pop()
        return opened

    def _after(self, before: list[Piece]) -> Span:
        """The empty span after the last piece."""
        end = before[-1].end if before else self.mistake.start
        return Span(self.source, end, end)

    def _unclosed(self, opened: list[Piece], before: list[Piece]) -> Diagnostic:
        bracket = opened[-1]
        close = BRACKETS[bracket.text]
        return self.error(
            f"`{bracket.text}` is not closed",
            f"`{close}` is missing",
            self._after(before),
            also=(self._here(bracket, "opened here"),),
            help=f"close it with `{close}`",
        )

    def _sentence_goes_on(self, before: list[Piece]) -> int | None:
        """Index of a reserved word that follows an open bracket, which shows that a closing bracket is missing. The
        word may have been parsed as a unit. None if there is no such word."""
        words = {word for word in self.reserved.spelling.values() if word.isalpha()}
        if before[-1].text in words and before[-2].kind == "number":
            return len(before) - 1
        return len(before) if self.found in words else None

    def _wrong_close(self, opened: list[Piece], before: list[Piece]) -> Diagnostic:
        if not opened:
            return self.error(f"`{self.found}` has no opening bracket", "no bracket is open here", help="remove it")
        bracket, close = opened[-1], BRACKETS[opened[-1].text]
        if self.found == close:
            return self._unexpected(before)
        return self.error(
            f"`{bracket.text}` is closed by `{self.found}`",
            f"`{close}` belongs here",
            also=(self._here(bracket, "opened here"),),
            help=f"write `{close}`",
        )

    def _here(self, piece: Piece, text: str) -> Label:
        return Label(Span(self.source, piece.start, piece.end), text)

    def _no_sentence(self) -> Diagnostic:
        """The diagnostic for text after a complete sentence that does not begin a new one."""
        if self.found == ",":
            return self.error("a comma between sentences", "not in a list", help="remove it")
        if self.mistake.terminal != "NAME":
            why = "the sentence before ends here" if self._sentence_word else "a sentence begins with a reserved word"
            return self.error(f"`{self.found}` cannot begin a sentence", why, help=self._form())
        guess = did_you_mean(self.found, self.reserved.openers)
        return self.error(
            f"no sentence begins with `{self.found}`",
            "not a sentence",
            notes=() if guess else (f"sentences begin with: {', '.join(sorted(self.reserved.openers))}",),
            help=f"did you mean `{guess}`?" if guess else self._form(),
        )

    def _cut_short(self, before: list[Piece]) -> Diagnostic:
        last = f" after `{before[-1].text}`" if before else ""
        what, wanted = self._wanted(before)
        return self.error(f"{what} is missing{last}", wanted, self._after(before), help=self._form())

    def _unexpected(self, before: list[Piece]) -> Diagnostic:
        what, wanted = self._wanted(before)
        keywords = {self.reserved.spelling[name] for name in self.mistake.accepted & set(self.reserved.spelling)}
        guess = did_you_mean(self.found, (word for word in keywords if word.isalpha()))
        help = f"did you mean `{guess}`?" if guess else self._form()
        if self.found == ".":
            help = "a number begins with a digit: `0.5`"
        if " or " in what or what.startswith("a "):
            return self.error(f"expected {what}, found `{self.found}`", wanted, help=help)
        return self.error(f"{what} is missing before `{self.found}`", wanted, help=help)

    def _wanted(self, before: list[Piece]) -> tuple[str, str]:
        """What the parser accepts here, in words: (text for the message, text for the label)."""
        accepted = set(self.mistake.accepted)
        if {"NUMBER", "STRING"} <= accepted:
            return "a value", "a number, a text, a list or a name belongs here"
        if before and (before[-1].kind == "number" or before[-1].text == "]"):
            accepted -= {"NAME", "UNIT_SIGN"}  # A unit is always optional.
        for needed in ({"VIA"}, {"UNTIL"}, accepted - {"DOT", "LPAR"}):
            if needed and needed <= accepted:
                accepted = needed
                break
        plain = {"NAME": "a name", "STRING": "a text in double quotes", "NUMBER": "a number", "COMPARE": "a comparison"}
        words = [plain[name] for name in plain if name in accepted]
        words += sorted(f"`{self.reserved.spelling[name]}`" for name in accepted & set(self.reserved.spelling))
        listed = " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
        return listed, f"{listed} belongs here"

    @property
    def _sentence_word(self) -> str | None:
        """The reserved word that begins the sentence with the mistake; None if there is none."""
        for piece in reversed(self.pieces):
            if piece.start < self.mistake.start and piece.text in self.reserved.openers:
                return piece.text
        return None

    def _form(self) -> str | None:
        word = self._sentence_word
        return f"write it like `{EXAMPLES[word]}`" if word in EXAMPLES else None
