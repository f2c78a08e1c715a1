"""Reads tar files in the WebDataset layout: one document per member, in file order.

Files are not unpacked to disk, and nothing is unpickled. Members that are not text are skipped and counted.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shapeflow.base.bounds import above
from shapeflow.tokenize.pieces import Piece, Tally, document

PICKLED = frozenset({".pyd", ".pickle", ".pkl", ".pt", ".pth", ".npy", ".npz", ".joblib"})
"""Extensions of files that may contain pickled objects."""


def shard(path: Path, tally: Tally) -> Iterator[Piece]:
    """The `.txt` members of a tar file, gzipped or not. Raises OSError if the file is not a tar file or is
    truncated."""
    try:
        with tarfile.open(path, "r|*") as file:
            for member in file:
                if not member.isfile():
                    continue
                tally.seen += member.size
                name = PurePosixPath(member.name)
                if name.suffix != ".txt":
                    kind = "pickled, never read" if name.suffix in PICKLED else "no text"
                    tally.drop(f"{name.suffix or 'nameless'} member: {kind}")
                    continue
                about = f"its member `{member.name}`"
                if (reason := above("SHAPEFLOW_MOST_DOCUMENT_BYTES", about, member.size, "bytes")) is not None:
                    raise OSError(reason)
                held = file.extractfile(member)
                text = b"" if held is None else held.read()
                try:
                    yield from document(text.decode("utf-8-sig"), tally)
                except UnicodeDecodeError:
                    tally.drop("not UTF-8 text")
    except tarfile.TarError as error:
        raise OSError(str(error)) from error
