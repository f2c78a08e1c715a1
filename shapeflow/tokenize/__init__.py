"""Converts documents to tokens: `shapeflow tokenize`.

    sources --pieces of documents--> encoder --ids--> writer --> NAME.bin, NAME.json

All data is streamed; only a few MiB are kept in memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data.bins import Header, dtype_for
from shapeflow.tokenize.encoders import Encoder
from shapeflow.tokenize.pieces import Piece, Tally
from shapeflow.tokenize.sources import Choice, found, stream
from shapeflow.tokenize.writer import Writer, check_free

__all__ = ["Choice", "Made", "tokenize"]

CHARACTERS, PIECES = 1 << 22, 4_096
"""The maximum text per call of the encoder: enough to use all cores."""

Watch = Callable[[int, int], None]
"""Called with the bytes of the sources that were read so far, and with their total."""


@attrs.frozen
class Made:
    """The result of `tokenize`."""

    header: Header
    text: int
    """The size of the documents in bytes, as UTF-8."""
    dropped: Counter[str]
    """Reason -> number of documents that were left out."""

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text per token, without the end-of-document tokens."""
        ends = 0 if self.header.end_of_document is None else self.header.documents
        return self.text / max(1, self.header.count - ends)


def tokenize(
    sources: Sequence[Path],
    output: Path,
    encoder: Encoder,
    choice: Choice,
    held_out: float,
    watch: Watch = lambda seen, of: None,
) -> Made:
    """Write `output` and its header atomically. The output is deterministic.

    `held_out`: the share that is held out. A document is selected by a digest of its beginning, so that the choice does
    not depend on its position and copies of a document are treated alike. Held-out documents are written last. Raises
    Refused `tokens-exist`, `cannot-read`, `missing-column`, `missing-extra`, `no-text`, `cannot-write`, `disk-full`.
    """
    check_free(output)
    files = found(sources, choice)
    tally, total, text = Tally(), sum(file.size for file in files), 0
    with Writer(output, dtype_for(encoder.vocabulary)) as writer:
        apart = False
        for batch in _batches(stream(files, choice, tally)):
            for piece, ids in zip(batch, encoder.encode([piece.text for piece in batch]), strict=True):
                text += len(piece.text.encode())
                if piece.first:
                    apart = drawn(piece.text, held_out)
                writer.write(ids, apart)
                if piece.last:
                    writer.end(encoder.end, apart)
            watch(tally.seen, total)
        if not writer.count:
            raise Refused(_nothing(sources, tally))
        header = writer.finish(
            held_out,
            vocabulary=encoder.vocabulary,
            tokenizer=encoder.name,
            tokenizer_sha256=encoder.sha256,
            end_of_document=encoder.end,
        )
    return Made(header, text, tally.dropped)


def drawn(text: str, share: float) -> bool:
    """Whether a document with this beginning is held out."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) < share * 2**64


def _batches(all_pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    characters = 0
    for piece in all_pieces:
        batch.append(piece)
        characters += len(piece.text)
        if characters >= CHARACTERS or len(batch) == PIECES:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _nothing(sources: Sequence[Path], tally: Tally) -> Diagnostic:
    return Diagnostic(
        "no-text",
        "there is no document in " + ", ".join(f"`{source}`" for source in sources),
        place=str(sources[0]),
        notes=tuple(f"skipped: {count:,} x {reason}" for reason, count in tally.dropped.items()),
        help="name text files, folders, .jsonl, .parquet or .tar files; `--column` names the field that holds the text",
    )
