"""Your own text, as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.data.order import BLOCK, ORDER
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import Corpus, DataFacts

SEPARATOR = 0
"""The byte between two files. It does not occur in text."""


def held_out_of(size: int, share: float) -> int:
    """The number of held-out bytes at the end of a single file."""
    return max(1, round(size * share))


@attrs.frozen
class Text(DataHooks):
    """A text file, or all files of a folder, as bytes. A share `held_out` of the files is held out; for a single file,
    this share at its end.

    The path is relative to the `.shape` file (or to the plan, if a plan is run without its source)."""

    path: str = setting(first=True, help="a file or a folder")
    batch: int = setting("tokens", default=512, low=1, help="tokens (bytes) of one step, at every context")
    files: str = setting(default="*", help="which files of a folder: a glob, searched in sub-folders too")
    held_out: float = setting("ratio", default=0.05, above=0.0, high=0.5, help="share of the files held out")
    order: Literal["epochs", "drawn"] = setting(default="epochs", compared=False, help=ORDER)
    block: int | None = setting("tokens", default=None, low=1, compared=False, help=BLOCK)

    def longest(self, folder: Path) -> int | None:
        """The longest context in bytes, from the size of a single file; None for a folder or a missing file."""
        if (parts := self._parts(folder)) is None:
            return None
        return min(parts) - 1

    def corpora(self, folder: Path) -> tuple[Corpus, ...]:
        parts = self._parts(folder)
        return (Corpus(held_out=None if parts is None else parts[1]),)

    def _parts(self, folder: Path) -> tuple[int, int] | None:
        """Bytes for training, and held-out bytes, from the size of a single file; None for a folder or a missing
        file."""
        path = folder / self.path
        try:
            if not path.is_file():
                return None
            size = path.stat().st_size
        except OSError:
            return None
        held_out = held_out_of(size, self.held_out)
        return size - held_out, held_out

    def facts(self) -> DataFacts:
        return DataFacts(kind="text", vocabulary=256, separator=SEPARATOR, batch=self.batch)
