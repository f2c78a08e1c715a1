"""Between text and the ids that a run was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data import python_source, text
from shapeflow.tokenize.encoders import FromFile, encoder

AS_BYTES: dict[str, int | None] = {"text": text.SEPARATOR, "python_source": python_source.SEPARATOR}
"""Data that is read as bytes -> the byte between its documents."""
BYTES = "bytes"


@attrs.frozen
class Spelling:
    """Turns text into ids and back. `end`: the id between documents; None if there is none."""

    end: int | None
    tokenizer: FromFile | None = None
    """None: ids are bytes."""

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        if self.tokenizer is None:
            # What is not UTF-8 on a command line arrives as surrogates, and leaves as the same bytes.
            return list(text.encode(errors="surrogateescape"))
        return [int(one) for one in self.tokenizer.encode([text.encode(errors="replace").decode()])[0]]

    def text(self, ids: Sequence[int]) -> str:
        """The text of some ids. Bytes that are not UTF-8 are replaced."""
        if self.tokenizer is None:
            return bytes(one for one in ids if one < 256).decode(errors="replace")
        return self.tokenizer.decode(ids)


def spelling_of(data: str, settings: Mapping[str, Any], about: Mapping[str, Any], tokenizer: Path | None) -> Spelling:
    """The spelling of the data of a run: one corpus of it. `data`, `settings`: its component; `about`: its description
    in the run's folder; `tokenizer`: the file of the tokenizer, which a run does not keep.

    Raises Refused `other-tokenizer`, and what `encoders.encoder` raises."""
    end = AS_BYTES.get(data, settings.get("end_of_document"))
    name, digest = about.get("tokenizer"), about.get("tokenizer_sha256")
    as_bytes = data in AS_BYTES or (name == BYTES and digest is None)
    if as_bytes:
        if tokenizer is not None:
            message, help_ = "the run was trained on bytes, and needs no tokenizer", "leave `--tokenizer` out"
            raise Refused(Diagnostic("other-tokenizer", message, place="--tokenizer", help=help_))
        return Spelling(end)
    if tokenizer is None:
        called = f"`{name}`" if name else "a tokenizer that is not known"
        message = f"the tokens of the run were made by {called}, which its folder does not have"
        help_ = "name the file: `--tokenizer tokenizer.json`"
        raise Refused(Diagnostic("other-tokenizer", message, place="--tokenizer", help=help_))
    found = encoder(str(tokenizer), "none")
    if not isinstance(found, FromFile) or (digest is not None and found.sha256 != digest):
        message = f"`{tokenizer}` is not the tokenizer that the run was trained with"
        notes = (f"that one is called `{name}`, SHA-256 {digest}",)
        raise Refused(Diagnostic("other-tokenizer", message, place="--tokenizer", notes=notes, help="name that file"))
    return Spelling(end, found)
