"""Splits documents into pieces, so that documents may be larger than memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

PIECE = 1 << 18
"""The maximum number of characters of a piece. A tokenizer encodes each piece separately, and several pieces per
call."""
NO_TEXT = "no text in the column"
"""The reason for which a missing value is left out."""


@attrs.frozen
class Piece:
    """A part of a document. Most documents are a single piece."""

    text: str
    first: bool
    last: bool


@attrs.define
class Tally:
    """Counts what was read so far."""

    seen: int = 0
    """The number of bytes read from the sources, for the progress bar."""
    dropped: Counter[str] = attrs.field(factory=Counter)
    """Reason -> number of documents that were left out."""

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count


def document(text: object, tally: Tally) -> Iterator[Piece]:
    """The pieces of a document in memory. Anything that is not text is skipped and counted."""
    if text is None:
        tally.drop(NO_TEXT)
    elif not isinstance(text, str):
        tally.drop("column value is not text")
    elif not text:
        tally.drop("empty")
    elif not _is_unicode(text):
        tally.drop("invalid Unicode")
    else:
        yield from in_pieces(text[at : at + PIECE] for at in range(0, len(text), PIECE))


def in_pieces(chunks: Iterable[str]) -> Iterator[Piece]:
    """The pieces of a document that is read in chunks. Cuts are after the end of a line, else before a space. Yields
    nothing for an empty document."""
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
    """The position at which to cut a text of more than PIECE characters; there is always text after it."""
    return text.rfind("\n", 0, PIECE) + 1 or max(0, text.rfind(" ", 1, PIECE)) or PIECE


def _is_unicode(text: str) -> bool:
    """Whether a text is valid Unicode. JSON can contain lone surrogates, which are not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
