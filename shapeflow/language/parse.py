"""Parser: from text to `Document`. `shapeflow_grammar` contains the grammar, `parse_errors.py` the error messages.

The parser splits the text at the lines that begin a sentence and parses each piece separately, so that every wrong
sentence is reported once, at its own location. The grammar is a list of sentences without conflicts, so pieces that are
all valid are a valid text with the same sentences.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import attrs

from shapeflow.base.bounds import bound
from shapeflow.base.diagnostics import Report, Source, Span
from shapeflow.language import parse_errors, syntax
from shapeflow.language.skim import Piece, ReservedWords, sentence_starts, skim, too_deep

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.parsers.lalr_interactive_parser import InteractiveParser

DEEPEST = 32
"""Maximum nesting depth of brackets. A limit keeps recursion bounded; no plan needs more than five levels."""


_REFUSED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, except white space, and halves of surrogate pairs, which an argument or an editor sends in place
of bytes that are not UTF-8."""


def parse(source: Source, report: Report) -> syntax.Document:
    """Parse a text. Returns the valid sentences; errors in the others are reported."""
    most = bound("SHAPEFLOW_MOST_WORDS")
    pieces = skim(source.text, most + 1)
    comments = tuple(
        syntax.Comment(text.rstrip(), span=Span(source, piece.start, piece.start + len(text.rstrip())))
        for piece in pieces
        if piece.kind == "comment"
        for text in (piece.text,)
    )
    if (refused := _REFUSED.search(source.text)) is not None:
        what = f"U+{ord(refused[0]):04X}"
        at, why = Span(source, refused.start(), refused.end()), "a control character"
        if refused[0] >= "\ud800":
            why = "half of a surrogate pair: the text is not valid Unicode"
        report.error("syntax", f"the character `{what}` is not allowed", at, why, help="remove it")
        return syntax.Document(source, (), comments)
    if (deep := too_deep(pieces, DEEPEST)) is not None:
        report.error(
            "syntax",
            f"brackets are nested more than {DEEPEST} deep",
            Span(source, deep.start, deep.end),
            "too deep",
            help="name an inner value with `let` and use its name here",
        )
        return syntax.Document(source, (), comments)
    if len(pieces) > most:
        report.error(
            "syntax",
            f"the file has more than {most:,} words, numbers and marks",
            Span(source, pieces[-1].start, pieces[-1].end),
            "this is one too many",
            help='set `SHAPEFLOW_MOST_WORDS` to read it, or keep the laws in a table: `laws from table("laws.json")`',
        )
        return syntax.Document(source, (), comments)
    sentences = tuple(_sentences(source, pieces, report))
    if not sentences and not report.failed:
        report.error(
            "empty-file",
            "the file has no sentences",
            Span(source, 0, 0),
            "only comments" if comments else "empty",
            help='begin with `plan "my plan"`',
        )
    return syntax.Document(source, sentences, comments)


def _sentences(source: Source, pieces: list[Piece], report: Report) -> Iterator[syntax.Sentence]:
    """The sentences of a text. Parses each piece separately. A piece that is wrong may be a part of the sentence before
    it; then the rest of the text is parsed from there, as a whole."""
    # Replace a byte order mark by a space, which keeps all offsets.
    text = " " + source.text[1:] if source.text.startswith("\ufeff") else source.text
    starts = [0, *(start for start in sentence_starts(pieces, reserved_words()) if start)]
    found = [(start, end, *_attempt(text[start:end])) for start, end in itertools.pairwise([*starts, len(text)])]
    wrong_at = next((number for number, (*_, tree, _) in enumerate(found) if tree is None), None)
    if wrong_at is not None and len(found) > 1:
        # The parser stops at the first mistake, which is near.
        last = max(wrong_at - 1, 0)
        rest, _ = _attempt(text[starts[last] :])
        if rest is not None:
            found[last:] = [(starts[last], len(text), rest, None)]
    places = [piece.start for piece in pieces]
    for start, end, tree, wrong in found:
        if tree is not None:
            yield from _Builder(source, start, report).sentences(tree)
        elif wrong is not None:
            inside = pieces[bisect_left(places, start) : bisect_left(places, end)]
            report.add(parse_errors.explain(source, inside, wrong.moved(start), reserved_words()))


@functools.cache
def _lark() -> Lark:
    """The parser. Lark is imported here, so that importing shapeflow stays fast."""
    from lark import Lark
    from lark.lark import PostLex

    import shapeflow_grammar

    class WholeWords(PostLex):
        """Lets the terminal NAME match everywhere. A reserved word then matches only as a whole word (`modelling` is
        not `model`), and can also be the name of a setting (`seed: 3`)."""

        always_accept = ("NAME",)

        def process(self, stream: Iterator[Token]) -> Iterator[Token]:
            return stream

    with _unchecked():
        return Lark(
            shapeflow_grammar.text(),
            parser="lalr",
            lexer="contextual",
            postlex=WholeWords(),
            propagate_positions=True,
            maybe_placeholders=False,
        )


@contextlib.contextmanager
def _unchecked() -> Iterator[None]:
    """Lark looks for terminals that match the same text if the library `interegular` is installed, as it is with some
    servers of language models. That takes longer than all else in a short command, and the tests of the grammar do
    it."""
    from lark import lexer

    installed = getattr(lexer, "has_interegular", None)
    if installed is None:  # another version of Lark
        yield
        return
    lexer.has_interegular = False
    try:
        yield
    finally:
        lexer.has_interegular = installed


@functools.cache
def reserved_words() -> ReservedWords:
    """The reserved words, taken from the grammar."""
    lark = _lark()
    words = {terminal.name: str(terminal.pattern.value) for terminal in lark.terminals}
    openers = _accepted(lark.parse_interactive("")) - {"$END"}
    keywords = {name: word for name, word in words.items() if word.isalpha() and name == word.upper()}
    literals = {name: word for name, word in words.items() if len(word) == 1}
    return ReservedWords({**keywords, **literals}, frozenset(words[name] for name in openers))


def _attempt(text: str) -> tuple[Tree[Token] | None, parse_errors.Mistake | None]:
    """Parse a text: (tree, None), or (None, mistake) if the parser stopped."""
    from lark import Token
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    attempt: InteractiveParser = _lark().parse_interactive(text)
    try:
        for _ in attempt.iter_parse():
            pass
        tree = cast("Tree[Token]", attempt.feed_token(Token("$END", "")))
    except UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        return None, parse_errors.Mistake("", at, at + 1, frozenset())
    except UnexpectedToken as error:
        token = error.token
        if token.type == "$END":
            return None, parse_errors.Mistake("$END", len(text), len(text), _accepted(attempt))
        return None, parse_errors.Mistake(token.type, token.start_pos, token.end_pos, _accepted(attempt))
    return tree, None


def expected(text: str, pieces: list[Piece]) -> frozenset[str]:
    """The terminals that may follow a text, which may end within a sentence. Empty if its last sentence is wrong, or
    ends within a comment or in quotes. `pieces`: those of the text."""
    from lark.exceptions import UnexpectedInput

    if too_deep(pieces, DEEPEST) is not None or (pieces and pieces[-1].kind == "comment" and text[-1] not in "\r\n"):
        return frozenset()
    *_, start = 0, *sentence_starts(pieces, reserved_words())
    attempt: InteractiveParser = _lark().parse_interactive(text[start:])
    try:
        for _ in attempt.iter_parse():
            pass
    except UnexpectedInput:
        return frozenset()
    return _accepted(attempt)


def _accepted(attempt: InteractiveParser) -> frozenset[str]:
    """The terminals that may come next. They follow from the states on the parser's stack. To find them takes a copy of
    the parser for each terminal, so that they are kept."""
    states = tuple(attempt.parser_state.state_stack)
    if (found := _FOUND.get(states)) is None:
        if len(_FOUND) == MOST_FOUND:
            _FOUND.clear()
        accepts: Callable[[], set[str]] = attempt.accepts
        found = _FOUND[states] = frozenset(accepts())
    return found


_FOUND: dict[tuple[object, ...], frozenset[str]] = {}
MOST_FOUND = 4096


_OF_COMPONENT: dict[str, Callable[..., syntax.Sentence]] = {
    "model": syntax.Model,
    "data": syntax.Data,
    "objective": syntax.Objective,
    "optimizer": syntax.Optimizer,
    "metric": syntax.Metric,
    "laws": syntax.LawsFrom,
    "traversal": syntax.Traversal,
    "schedule": syntax.Schedule,
    "minimise": syntax.Minimise,
}
_OF_VALUE: dict[str, Callable[..., syntax.Sentence]] = {
    "budget": syntax.Budget,
    "start_at": syntax.StartAt,
    "cooldown": syntax.Cooldown,
}


@attrs.frozen
class _Builder:
    """Converts the tree of one piece of a text, which begins at `base`, to the classes of `syntax.py`."""

    source: Source
    base: int
    report: Report

    def span(self, part: Tree[Token] | Token) -> Span:
        if isinstance(part, str):
            return Span(self.source, self.base + (part.start_pos or 0), self.base + (part.end_pos or 0))
        return Span(self.source, self.base + part.meta.start_pos, self.base + part.meta.end_pos)

    def sentences(self, tree: Tree[Token]) -> Iterator[syntax.Sentence]:
        return map(self.sentence, _trees(tree))

    def sentence(self, tree: Tree[Token]) -> syntax.Sentence:
        kind, span, tokens, trees = str(tree.data), self.span(tree), _tokens(tree), _trees(tree)
        if kind in _OF_COMPONENT:
            return _OF_COMPONENT[kind](self.component(trees[0]), span=span)
        if kind in _OF_VALUE:
            return _OF_VALUE[kind](self.value(trees[0]), span=span)
        match kind:
            case "checkpoint":
                return syntax.Checkpoint(self.value(trees[0]), self.keep(trees[1]) if trees[1:] else None, span=span)
            case "evaluate":
                every, *on = map(self.value, trees)
                return syntax.Evaluate(every, on[0] if on else None, span=span)
            case "plan":
                return syntax.PlanName(self.text(trees[0]), span=span)
            case "use":
                return syntax.Use(self.text(trees[0]), str(tokens[0]), self.span(tokens[0]), span=span)
            case "let":
                return syntax.Let(str(tokens[0]), self.span(tokens[0]), self.value(trees[0]), span=span)
            case "axis":
                values, transition = self.value(trees[0]), self.component(trees[1])
                return syntax.Axis(str(tokens[0]), self.span(tokens[0]), values, transition, span=span)
            case "candidates":
                axes = tuple((str(token), self.span(token)) for token in tokens)
                return syntax.Candidates(axes, self.condition(trees[0]) if trees else None, span=span)
            case "weights":
                return syntax.Weights(self.value(trees[0]), self.value(trees[1]), span=span)
            case "law":
                return syntax.LawFor(self.shape(trees[0]), self.component(trees[1]), span=span)
            case "credits":
                return syntax.CreditsFrom(self.text(trees[0]), span=span)
            case "profile":
                return syntax.ProfileFrom(self.text(trees[0]), len(trees) > 1, span=span)
            case "start_from":
                return syntax.StartFrom(self.text(trees[0]), span=span)
            case "stage":
                until = None if trees[-1].data == "end" else self.value(trees[-1])
                return syntax.Stage(self.shape(trees[0]), tuple(map(self.share, trees[1:-1])), until, span=span)
            case "stop":
                return syntax.StopWhen(self.comparison(trees[0]), span=span)
            case _:
                return syntax.Seed(self.number(_tokens(trees[0])[0]), span=span)

    def keep(self, tree: Tree[Token]) -> syntax.Keep:
        trees = _trees(tree)
        newest = self.number(_tokens(trees[0])[0]) if trees else None
        return syntax.Keep(newest, len(trees) > 1, span=self.span(tree))

    def share(self, tree: Tree[Token]) -> syntax.Share:
        much, shape = _trees(tree)
        tokens = _tokens(much)
        share = self.quantity(much) if len(tokens) == 2 else self.number(tokens[0])
        return syntax.Share(share, self.shape(shape), span=self.span(tree))

    def value(self, tree: Tree[Token]) -> syntax.Value:
        tokens, trees = _tokens(tree), _trees(tree)
        match str(tree.data):
            case "quantity":
                return self.quantity(tree)
            case "number":
                return self.number(tokens[0])
            case "string":
                return self.text(tree)
            case "list":
                unit = tokens[0] if tokens else None
                items = tuple(map(self.value, trees))
                place = None if unit is None else self.span(unit)
                return syntax.Listing(items, None if unit is None else str(unit), place, span=self.span(tree))
            case "shape":
                return self.shape(tree)
            case "reference":
                return syntax.Reference(tuple(map(str, tokens)), span=self.span(tree))
            case _:
                return self.component(tree)

    def number(self, token: Token) -> syntax.Number:
        value, span = float(token), self.span(token)
        mantissa = token.lower().partition("e")[0]
        if abs(value) == float("inf") or (value == 0 and mantissa.strip("+-0._")):
            size = "large" if value else "small"
            self.report.error("syntax", f"the number is too {size}", span, "outside double precision")
        return syntax.Number(value, str(token), span=span)

    def quantity(self, tree: Tree[Token]) -> syntax.Quantity:
        number, unit = _tokens(tree)
        return syntax.Quantity(self.number(number), str(unit), self.span(unit), span=self.span(tree))

    def text(self, tree: Tree[Token]) -> syntax.Text:
        return syntax.Text(_tokens(tree)[0][1:-1], span=self.span(tree))

    def component(self, tree: Tree[Token]) -> syntax.Component:
        name = _tokens(tree)[0]
        settings = tuple(self.setting(part) for part in _trees(tree) if part.data == "setting")
        arguments = tuple(self.value(part) for part in _trees(tree) if part.data != "setting")
        called = tree.data == "component"
        return syntax.Component(str(name), self.span(name), settings, arguments, called, span=self.span(tree))

    def setting(self, tree: Tree[Token]) -> syntax.Setting:
        name = _tokens(tree)[0]
        return syntax.Setting(str(name), self.span(name), self.value(_trees(tree)[0]), span=self.span(tree))

    def shape(self, tree: Tree[Token]) -> syntax.ShapeLiteral:
        return syntax.ShapeLiteral(tuple(map(self.setting, _trees(tree))), span=self.span(tree))

    def condition(self, tree: Tree[Token]) -> syntax.Condition:
        if tree.data == "comparison":
            return self.comparison(tree)
        tests = tuple(map(self.condition, _trees(tree)))
        if tree.data == "negation":
            return syntax.Not(tests[0], span=self.span(tree))
        if len(tests) == 1:
            return tests[0]
        kind = syntax.Any_ if tree.data == "any" else syntax.All
        return kind(tests, span=self.span(tree))

    def comparison(self, tree: Tree[Token]) -> syntax.Comparison:
        axis, *operator = _tokens(tree)
        value = self.value(_trees(tree)[0])
        return syntax.Comparison(
            str(axis), self.span(axis), str(operator[0]) if operator else "is", value, span=self.span(tree)
        )


def _tokens(tree: Tree[Token]) -> list[Token]:
    # Tokens are subclasses of str. A check for lark's own class would import lark.
    return [child for child in tree.children if isinstance(child, str)]


def _trees(tree: Tree[Any]) -> list[Tree[Token]]:
    return [child for child in tree.children if not isinstance(child, str)]
