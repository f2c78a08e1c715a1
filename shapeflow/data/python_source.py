"""Real text that every machine already has: the source of Python's own standard library, byte by byte."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts

SEPARATOR = 0
"""The byte between two files; no text has it."""


@attrs.frozen
class PythonSource(DataHooks):
    """The source files of Python's standard library as bytes (tests, encodings and generated tables left out).

    5 % of the files, drawn once and for all, are held out. The list of files and its digest are recorded in the run,
    since the text differs a little from one Python version to the next."""

    batch: int = setting("tokens", default=512, low=1, help="tokens (bytes) of one step, at every context")

    def facts(self) -> DataFacts:
        return DataFacts(kind="text", vocabulary=256, separator=SEPARATOR, batch=self.batch)
