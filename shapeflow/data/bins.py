"""The format of token files: `NAME.bin` contains only token ids, little-endian. The header `NAME.json` describes them.

`shapeflow tokenize` writes both files. The compiler reads the vocabulary from the header, without reading the tokens.
The end of the file is held out: no training window contains any of its tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular, require_readable
from shapeflow.base.json_text import parse_json
from shapeflow.ir.edits import EditError

FORMAT, VERSION = "shapeflow-tokens", 1
SIZES = {"uint16": 2, "uint32": 4}
"""Type of the ids -> bytes per id."""

SMALL = 1 << 26
"""The digest of files up to this size (in bytes) is checked at every start, which takes a fraction of a second."""

HELP = "make token files with `shapeflow tokenize`"


@attrs.frozen
class Header:
    """The contents of `NAME.json`."""

    dtype: Literal["uint16", "uint32"]
    count: int
    """The number of tokens in the file."""
    vocabulary: int
    """The number of ids; every id is smaller."""
    tokenizer: str
    """`bytes`, or the name of the tokenizer's file."""
    tokenizer_sha256: str | None
    end_of_document: int | None
    """The id that ends every document; None if documents are not separated."""
    documents: int
    held_out: int
    """The number of held-out tokens, at the end of the file."""
    held_out_by: Literal["documents", "tail"]
    """`documents`: whole documents, selected by a digest of their text; `tail`: the last tokens of the file."""
    held_out_documents: int
    """The number of held-out documents."""
    sha256: str
    """The SHA-256 digest of the `.bin` file."""

    @property
    def size(self) -> int:
        """The size of the `.bin` file in bytes."""
        return self.count * SIZES[self.dtype]

    def json(self) -> str:
        """The text of `NAME.json`."""
        value = {
            "format": FORMAT,
            "version": VERSION,
            "dtype": self.dtype,
            "count": self.count,
            "vocabulary": self.vocabulary,
            "tokenizer": {"name": self.tokenizer, "sha256": self.tokenizer_sha256},
            "end_of_document": self.end_of_document,
            "documents": self.documents,
            "held_out": {"tokens": self.held_out, "by": self.held_out_by, "documents": self.held_out_documents},
            "sha256": self.sha256,
        }
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def dtype_for(vocabulary: int) -> Literal["uint16", "uint32"]:
    """The smallest type that can store every id of a vocabulary."""
    return "uint16" if vocabulary <= 1 << 16 else "uint32"


def header_path(path: Path) -> Path:
    return path.with_suffix(".json")


def read_header(path: Path) -> Header:
    """The header next to a `.bin` file. Raises EditError `data-missing`, `broken-tokens`."""
    if path.suffix != ".bin":
        why = "its name does not end in .bin"
        raise EditError("data-missing", f"`{path}` is not a file of tokens", why=why, help=HELP)
    header = header_path(path)
    try:
        require_readable(header)
        text = header.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise broken(path, f"{header.name} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        why = f"{header.name}, its header, cannot be read: {(error.strerror or str(error)).lower()}"
        raise EditError("data-missing", f"cannot read the tokens of `{path}`", why=why, help=HELP) from error
    try:
        return header_of(parse_json(text))
    except ValueError as error:
        raise broken(path, f"{header.name}: {error}") from error


def check_file(path: Path, header: Header, *, whole: bool = False) -> None:
    """Compare a `.bin` file with its header: its size always, its digest if the file is small or with `whole`. Raises
    EditError `data-missing`, `broken-tokens`."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
        if size != header.size:
            announced = f"its header states {header.size} bytes ({header.count} x {header.dtype})"
            raise broken(path, f"it has {size} bytes, and {announced}")
        digest = digest_of(path) if whole or size <= SMALL else header.sha256
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise EditError("data-missing", f"cannot read the tokens of `{path}`", why=why, help=HELP) from error
    if digest != header.sha256:
        raise broken(path, "its digest differs from the one in the header: one of the two files was changed")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in bounded memory."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def broken(path: Path, why: str) -> EditError:
    """The error for tokens that do not match their header."""
    return EditError("broken-tokens", f"`{path}` does not match its header", why=why, help=HELP)


def refused(error: EditError, place: str) -> Refused:
    """An error of a token file as Refused, for callers that cannot point to a `.shape` file."""
    notes = (error.why, *error.notes)
    return Refused(Diagnostic(error.code, error.message, place=place, notes=notes, help=error.help))


def header_of(value: Any) -> Header:
    """A header from JSON. Raises ValueError, with the reason, for anything unexpected."""
    fields = _Fields(value, "")
    if fields.take("format", lambda v: isinstance(v, str), "a text") != FORMAT:
        raise ValueError(f"`format` is not {FORMAT}")
    version = fields.whole("version")
    if version != VERSION:
        raise ValueError(f"version {version} of the format, and this version of shapeflow reads version {VERSION}")
    tokenizer, held_out = _Fields(fields.any("tokenizer"), "tokenizer."), _Fields(fields.any("held_out"), "held_out.")
    header = Header(
        dtype=fields.take("dtype", lambda v: isinstance(v, str) and v in SIZES, "uint16 or uint32"),
        count=fields.whole("count"),
        vocabulary=fields.whole("vocabulary", 1),
        tokenizer=tokenizer.take("name", lambda v: isinstance(v, str), "a text"),
        tokenizer_sha256=tokenizer.take("sha256", lambda v: v is None or _is_digest(v), "a SHA-256 or null"),
        end_of_document=fields.take("end_of_document", lambda v: v is None or _is_whole(v), "an id or null"),
        documents=fields.whole("documents"),
        held_out=held_out.whole("tokens"),
        held_out_by=held_out.take("by", lambda v: v in ("documents", "tail"), "`documents` or `tail`"),
        held_out_documents=held_out.whole("documents"),
        sha256=fields.take("sha256", _is_digest, "a SHA-256"),
    )
    for part in (fields, tokenizer, held_out):
        part.end()
    _check_sense(header)
    return header


def _check_sense(header: Header) -> None:
    """Raise ValueError if the fields contradict each other."""
    if dtype_for(header.vocabulary) == "uint32" and header.dtype == "uint16":
        raise ValueError(f"a vocabulary of {header.vocabulary} does not fit into uint16")
    if header.end_of_document is not None and header.end_of_document >= header.vocabulary:
        raise ValueError(f"`end_of_document` is {header.end_of_document}, in a vocabulary of {header.vocabulary}")
    if header.held_out > header.count:
        raise ValueError(f"{header.held_out} of {header.count} tokens are held out")
    if header.held_out_documents > header.documents:
        raise ValueError(f"{header.held_out_documents} of {header.documents} documents are held out")


@attrs.define
class _Fields:
    """The fields of a JSON object, which are removed when they are read. Raises ValueError for missing, wrong or
    unknown fields."""

    value: Any
    prefix: str

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.value, dict):
            raise ValueError(f"`{self.prefix.rstrip('.') or 'it'}` is not a JSON object")
        self.value = dict(self.value)

    def any(self, name: str) -> Any:
        if name not in self.value:
            raise ValueError(f"`{self.prefix}{name}` is missing")
        return self.value.pop(name)

    def take(self, name: str, fits: Callable[[Any], bool], wanted: str) -> Any:
        found = self.any(name)
        if not fits(found):
            raise ValueError(f"`{self.prefix}{name}` is not {wanted}")
        return found

    def whole(self, name: str, low: int = 0) -> int:
        return int(self.take(name, lambda v: _is_whole(v) and v >= low, f"a whole number of {low} or more"))

    def end(self) -> None:
        if self.value:
            raise ValueError(f"`{self.prefix}{next(iter(self.value))}` is an unknown field")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
