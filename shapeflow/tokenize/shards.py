"""Reads tar files in the WebDataset layout: one document per member, in file order.

Files are not unpacked to disk, and nothing is unpickled. Members that are not text are skipped and counted.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shapeflow.base.bounds import above
from shapeflow.tokenize.pieces import Piece, Tally, document
from shapeflow.tokenize.tar import Member, members, opened

PICKLED = frozenset({".pyd", ".pickle", ".pkl", ".pt", ".pth", ".npy", ".npz", ".joblib"})
"""Extensions of files that may contain pickled objects."""
REASONS = 20
"""At most this number of extensions is counted each by itself."""
LONGEST = 20
"""Characters of an extension that are shown."""


def shard(path: Path, tally: Tally) -> Iterator[Piece]:
    """The `.txt` members of a tar file, compressed or not. Raises OSError if the file is not a tar file or is
    truncated."""
    try:
        with opened(path) as file:
            for member in members(file):
                tally.seen += member.size
                if (reason := _skipped(member, tally)) is not None:
                    tally.drop(reason)
                    continue
                about = f"its member `{member.name}`"
                if (reason := above("SHAPEFLOW_MOST_DOCUMENT_BYTES", about, member.size, "bytes")) is not None:
                    raise OSError(reason)
                try:
                    yield from document(member.read().decode("utf-8-sig"), tally)
                except UnicodeDecodeError:
                    tally.drop("not UTF-8 text")
    except lzma.LZMAError as error:
        raise OSError(str(error)) from error


def _skipped(member: Member, tally: Tally) -> str | None:
    """Why a member is not read; None if it is."""
    suffix = PurePosixPath(member.name).suffix
    if suffix == ".txt":
        return "sparse member: its text is not stored whole" if member.sparse else None
    kind = "pickled, never read" if suffix in PICKLED else "no text"
    reason = f"{suffix[:LONGEST] or 'nameless'} member: {kind}"
    known = reason in tally.dropped or len(tally.dropped) < REASONS
    return reason if known else "member with another extension: no text"
