"""Writes a token file: first temporary files next to it, then the ids, then the header."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import attrs
import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, rights, sync_folder, temporary_for, write_text
from shapeflow.data.bins import Header, digest_of, header_path
from shapeflow.tokenize.encoders import Ids

CHUNK = 1 << 22


def check_free(path: Path) -> None:
    """Raise Refused `tokens-exist` if a file would be overwritten."""
    for there in (path, header_path(path)):
        if there.exists():
            message = f"`{there}` already exists"
            help_ = "choose another name, or remove it first"
            raise Refused(Diagnostic("tokens-exist", message, place=str(there), help=help_))


class Writer:
    """Writes documents piece by piece, and held-out documents to the end of the file. Removes its temporary files on
    failure."""

    def __init__(self, path: Path, dtype: Literal["uint16", "uint32"]) -> None:
        """Raises Refused `cannot-write`."""
        self._path, self._dtype = path, dtype
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(2):
                self._parts.append(_Part(self._path))
        except OSError as error:
            self._remove()
            raise _failed(self._path, error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    @property
    def count(self) -> int:
        return sum(part.tokens for part in self._parts)

    def write(self, ids: Ids, apart: bool) -> None:
        """Write a piece of a document. `apart`: the document is held out. Raises Refused `cannot-write`,
        `disk-full`."""
        part = self._parts[apart]
        try:
            part.file.write(ids.astype(np.dtype(self._dtype).newbyteorder("<")).tobytes())
        except OSError as error:
            raise _failed(self._path, error) from error
        part.tokens += len(ids)

    def end(self, mark: int | None, apart: bool) -> None:
        """End a document. `mark`: the end-of-document id, or None for no id. Raises Refused `cannot-write`,
        `disk-full`."""
        if mark is not None:
            self.write(np.array([mark], np.uint32), apart)
        self._parts[apart].documents += 1

    def finish(self, share: float, **about: Any) -> Header:
        """Join the training and held-out parts, then write the header. Raises Refused `cannot-write`, `disk-full`."""
        training, apart = self._parts
        held_out, by = split(self.count, apart.tokens, share)
        try:
            apart.file.seek(0)
            shutil.copyfileobj(apart.file, training.file, CHUNK)
            training.file.flush()
            os.fsync(training.file.fileno())
            digest = digest_of(Path(training.path))
            header = Header(
                dtype=self._dtype,
                count=self.count,
                documents=training.documents + apart.documents,
                held_out=held_out,
                held_out_by=by,
                held_out_documents=apart.documents if by == "documents" else 0,
                sha256=digest,
                **about,
            )
            os.chmod(training.path, rights())
            os.replace(training.path, self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise _failed(self._path, error) from error
        write_text(header_path(self._path), header.json())
        return header

    def _remove(self) -> None:
        for part in self._parts:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part.path)
            # On a full disk, closing fails again for what could not be written.
            with contextlib.suppress(OSError):
                part.file.close()


class _Part:
    """A temporary file of ids."""

    def __init__(self, target: Path) -> None:
        descriptor, self.path = temporary_for(target)
        self.file: IO[bytes] = os.fdopen(descriptor, "w+b", buffering=CHUNK)
        self.tokens = self.documents = 0


def split(count: int, drawn: int, share: float) -> tuple[int, Literal["documents", "tail"]]:
    """The number of held-out tokens at the end, and how they were selected: the `drawn` tokens of whole documents if
    this is close to the share; else, with few documents, exactly the share, even if this cuts a document."""
    wanted = max(1, round(count * share)) if share else 0
    return (drawn, "documents") if wanted <= 2 * drawn <= 4 * wanted else (wanted, "tail")


def _failed(path: Path, error: OSError) -> Refused:
    (found,) = cannot_write(path, error).diagnostics
    help_ = "free some space, or write to another disk; no files were left"
    return Refused(attrs.evolve(found, help=help_) if found.code == "disk-full" else found)
