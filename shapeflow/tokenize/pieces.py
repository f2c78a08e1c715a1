"""Splits documents into pieces, so that none needs to fit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

PIECE = 1 << 18
"""Characters of a piece, at most. A tokenizer sees one piece at a time, and several pieces at once."""


@attrs.frozen
class Piece:
    """A stretch of a document; most documents are one piece."""

    text: str
    first: bool
    last: bool


@attrs.define
class Tally:
    """What has been read so far."""

    seen: int = 0
    """Bytes of the sources, for the progress bar."""
    dropped: Counter[str] = attrs.field(factory=Counter)
    """Reason -> number of documents that were left out."""

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count


def document(text: object, tally: Tally) -> Iterator[Piece]:
    """The pieces of a document in memory; anything that is not text is left out and counted."""
    if text is None:
        tally.drop("no text in the column")
    elif not isinstance(text, str):
        tally.drop("something else than text in the column")
    elif not text:
        tally.drop("empty")
    elif not _is_unicode(text):
        tally.drop("broken Unicode")
    else:
        yield from in_pieces(text[at : at + PIECE] for at in range(0, len(text), PIECE))


def in_pieces(chunks: Iterable[str]) -> Iterator[Piece]:
    """The pieces of a document that comes in chunks: cut after the end of a line, else before a space. None if
    empty."""
    held, first = "", True
    for chunk in chunks:
        held += chunk
        while len(held) > PIECE:
            cut = _cut(held)
            yield Piece(held[:cut], first, last=False)
            held, first = held[cut:], False
    if held:
        yield Piece(held, first, last=True)


def _cut(text: str) -> int:
    """Where to cut a text of more than PIECE characters; some text always remains."""
    return text.rfind("\n", 0, PIECE) + 1 or max(0, text.rfind(" ", 1, PIECE)) or PIECE


def _is_unicode(text: str) -> bool:
    """JSON can hold lone surrogates, which are not valid text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
