"""Encodes text to ids: as bytes, or with a tokenizer of the `tokenizers` library."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.base.files import read_regular, require_readable

Ids = npt.NDArray[np.unsignedinteger[Any]]

PROBE = "Some text, 12 à é\n"
"""A text that a tokenizer encodes when it is loaded: some settings make the library panic only then."""
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")
"""The usual names of the end-of-document token."""


class Encoder(Protocol):
    """Encodes texts one by one, without adding special tokens."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        ...

    @property
    def end(self) -> int | None:
        """The id that ends a document."""
        ...

    def encode(self, texts: Sequence[str]) -> Sequence[Ids]: ...


@attrs.frozen
class Bytes:
    """Encodes text as UTF-8 bytes."""

    end: int | None
    name: str = "bytes"
    sha256: str | None = None

    @property
    def vocabulary(self) -> int:
        return 257 if self.end == 256 else 256

    def encode(self, texts: Sequence[str]) -> Sequence[Ids]:
        return [np.frombuffer(text.encode(), np.uint8) for text in texts]


@attrs.frozen
class FromFile:
    """A tokenizer of the `tokenizers` library. Text is never encoded as special tokens; the end-of-document token is
    added only after documents."""

    tokenizer: Any
    name: str
    sha256: str | None
    vocabulary: int
    end: int | None

    def encode(self, texts: Sequence[str]) -> Sequence[Ids]:
        with _refusing(Path(self.name)):
            found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, np.uint32) for one in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, special tokens included."""
        with _refusing(Path(self.name)):
            text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def encoder(tokenizer: str, end: str | None) -> Encoder:
    """The encoder for `--tokenizer` and `--end`. `end`: an id, a token or `none`; None: the usual token of the
    tokenizer.

    Raises Refused `no-tokenizer`, `missing-extra`, `unknown-token`."""
    if tokenizer == "bytes":
        return Bytes(_end_of_bytes(end))
    path = Path(tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    made, digest = _loaded(path)
    ids: dict[str, int] = made.get_vocab(with_added_tokens=True)
    vocabulary = max(ids.values(), default=-1) + 1
    return FromFile(made, path.name, digest, vocabulary, _end(ids, vocabulary, path, end))


def _loaded(path: Path) -> tuple[Any, str]:
    """A tokenizer and the digest of its file."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        message = "tokenizer files need the library `tokenizers`, which is not installed"
        help_ = "`pip install 'shapeflow[text]'`, or use `--tokenizer bytes`"
        raise Refused(Diagnostic("missing-extra", message, place="--tokenizer", help=help_)) from error
    try:
        require_readable(path)
        data = read_regular(path)
    except OSError as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from error
    with _refusing(path), _without_stderr():
        made = Tokenizer.from_buffer(data)
        # Disable saved settings that truncate or pad documents, or that find special tokens in their text.
        made.no_truncation()
        made.no_padding()
        made.encode_special_tokens = True
        made.encode_batch_fast([PROBE, ""], add_special_tokens=False)
    return made, hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Raise Refused for what the library raises: exceptions of any class, and panics, which are no `Exception`."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _unreadable(path, str(error)) from error


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr: a panic writes a message and a trace of its own."""
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _unreadable(path: Path, reason: str) -> Refused:
    message = f"`{path}` is not a readable tokenizer"
    help_ = "name a `tokenizer.json` of the library `tokenizers`, or `bytes`"
    return Refused(Diagnostic("no-tokenizer", message, place="--tokenizer", notes=(reason,), help=help_))


def _end_of_bytes(end: str | None) -> int | None:
    if end is None:
        return 256
    if end == "none":
        return None
    if not _is_id(end, 257):
        message = f"`{end}` is not a byte"
        help_ = "give a byte (0 to 255), 256 for an additional token, or `none`"
        raise Refused(Diagnostic("unknown-token", message, place="--end", help=help_))
    return int(end)


def _is_id(text: str, vocabulary: int) -> bool:
    """Whether a text is a whole number below the size of a vocabulary. Python reads no number of over 4,300 digits."""
    return text.isdecimal() and len(text) <= len(str(vocabulary)) and int(text) < vocabulary


def _end(ids: dict[str, int], vocabulary: int, path: Path, end: str | None) -> int | None:
    if end == "none":
        return None
    if end is None:
        known = [token for token in ENDS if token in ids]
        if len(known) == 1:
            return ids[known[0]]
        message = f"`{path.name}` has no single usual end-of-document token"
        notes = (f"usual tokens that it has: {', '.join(known) or 'none'}",)
        help_ = "name one: `--end TOKEN`, or `--end none` to join documents without one"
        raise Refused(Diagnostic("unknown-token", message, place="--end", notes=notes, help=help_))
    if end in ids:
        return ids[end]
    if _is_id(end, vocabulary):
        return int(end)
    close = did_you_mean(end, ids)
    message = f"`{path.name}` has no token `{end}`"
    help_ = f"did you mean `{close}`?" if close else "name one of its tokens, or an id"
    notes = (f"its ids go from 0 to {vocabulary - 1}",)
    raise Refused(Diagnostic("unknown-token", message, place="--end", notes=notes, help=help_))
