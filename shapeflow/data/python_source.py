"""The source of Python's standard library as bytes: a text that is available on every machine."""

from __future__ import annotations

from typing import Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.data.order import BLOCK, ORDER
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

SEPARATOR = 0
"""The byte between two files. It does not occur in text."""


@attrs.frozen
class PythonSource(DataHooks):
    """The source files of Python's standard library as bytes (without tests, encodings and generated tables).

    A fixed 5% of the files is held out. The run records the list of files and its digest, since the text differs
    slightly between Python versions."""

    batch: int = setting("tokens", default=512, low=1, help="tokens (bytes) of one step, at every context")
    order: Literal["epochs", "drawn"] = setting(default="epochs", compared=False, help=ORDER)
    block: int | None = setting("tokens", default=None, low=1, compared=False, help=BLOCK)

    def facts(self) -> DataFacts:
        return DataFacts(kind="text", vocabulary=256, separator=SEPARATOR, batch=self.batch)
