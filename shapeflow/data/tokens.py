"""Text as token ids in a file written by `shapeflow tokenize`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.data.bins import HELP, Header, header_path, read_header
from shapeflow.data.order import BLOCK, ORDER
from shapeflow.ir.components import DataHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Corpus, DataFacts


@attrs.frozen
class Tokens(DataHooks):
    """Tokens written by `shapeflow tokenize`: `corpus.bin` and its header `corpus.json` next to it.

    Windows are read from the file as needed, so the file may have any size. Its end is held out: the documents that
    `tokenize` put there, or the share `held_out` of the file. At every start, the digest of files up to 64 MiB is
    checked; for larger files, their size and samples are. `shapeflow show corpus.bin --verify` checks the whole file.
    The path is relative to the `.shape` file (or to the plan, if a plan is run without its source)."""

    path: str = setting(first=True, help="the `.bin` file", example='"corpus.bin"')
    batch: int = setting("tokens", default=512, low=1, help="tokens of one step, at every context")
    held_out: float | None = setting(
        "ratio", default=None, above=0.0, high=0.5, help="share of the file, at its end, that is held out"
    )
    vocabulary: int | None = setting(
        default=None, low=1, help="all ids are below it; default: from the header. Set it to compile without the file"
    )
    end_of_document: int | None = setting(
        default=None, low=0, help="the id that ends documents; default: from the header"
    )
    order: Literal["epochs", "drawn"] = setting(default="epochs", compared=False, help=ORDER)
    block: int | None = setting("tokens", default=None, low=1, compared=False, help=BLOCK)

    def __attrs_post_init__(self) -> None:
        if "\0" in self.path or Path(self.path).suffix != ".bin":
            why = "its name does not end in .bin"
            raise EditError(
                "data-missing", f"`{self.path}` is not a file of tokens", why=why, help=HELP, setting="path"
            )
        ends, vocabulary = self.end_of_document, self.vocabulary
        if ends is not None and vocabulary is not None and ends >= vocabulary:
            message = f"the id {ends} is not in a vocabulary of {vocabulary}"
            why = f"must be below {vocabulary}"
            raise EditError("out-of-range", message, why=why, setting="end_of_document")

    def facts(self) -> DataFacts:
        return DataFacts(kind="text", vocabulary=self.vocabulary, separator=self.end_of_document, batch=self.batch)

    def longest(self, folder: Path) -> int | None:
        """The longest context in tokens, from the header; None if there is no file."""
        if (parts := self._parts(folder)) is None:
            return None
        return min(parts) - 1

    def corpora(self, folder: Path) -> tuple[Corpus, ...]:
        parts = self._parts(folder)
        return (Corpus(held_out=None if parts is None else parts[1]),)

    def _parts(self, folder: Path) -> tuple[int, int] | None:
        """Tokens for training, and held-out tokens, from the header; None if there is no file."""
        if not header_path(folder / self.path).exists():
            return None
        header = read_header(folder / self.path)
        held_out = held_out_of(header, self.held_out)
        return header.count - held_out, held_out

    def tokenizer_in(self, folder: Path) -> Mapping[str, Any]:
        """Name and digest of the tokenizer, from the header; empty if there is no file."""
        path = folder / self.path
        if not header_path(path).exists():
            return {}
        header = read_header(path)
        return {"tokenizer": header.tokenizer, "digest of the tokenizer": header.tokenizer_sha256}

    def found_in(self, folder: Path) -> Tokens:
        """This data with the facts of the header. Raises EditError `data-missing`, `broken-tokens`, `other-tokens`."""
        path = folder / self.path
        if self.vocabulary is not None and not header_path(path).exists():
            return self
        header = read_header(path)
        check_same(self.path, "vocabulary", self.vocabulary, header.vocabulary)
        if self.end_of_document is not None:
            check_same(self.path, "end_of_document", self.end_of_document, header.end_of_document)
        return attrs.evolve(self, vocabulary=header.vocabulary, end_of_document=header.end_of_document)


def held_out_of(header: Header, share: float | None) -> int:
    """The number of held-out tokens at the end of a file: a share of the file, or, if it is None, the number in the
    header."""
    return header.held_out if share is None else max(1, round(header.count * share))


def check_same(path: str, name: str, wanted: int | None, has: int | None) -> None:
    """Raise EditError `other-tokens` if a file differs from a setting, or from the file that a plan was compiled
    for."""
    if wanted is not None and wanted != has:
        raise EditError(
            "other-tokens",
            f"the {name} of `{path}` is {'none' if has is None else has}, not {wanted}",
            why=f"its header says `{name}`: {'null' if has is None else has}",
            help=f"leave `{name}` out and compile again, or name the intended file",
        )
