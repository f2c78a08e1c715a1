"""The largest inputs that are read: bounds on what a file may unpack to, checked before it is unpacked."""

from __future__ import annotations

import os

from shapeflow.base.diagnostics import Diagnostic, Refused

BOUNDS = {
    "SHAPEFLOW_MOST_PIXELS": 50_000_000,
    "SHAPEFLOW_MOST_DOCUMENT_BYTES": 1 << 28,
    "SHAPEFLOW_MOST_GROUP_BYTES": 1 << 31,
    "SHAPEFLOW_MOST_TEXT_BYTES": 1 << 28,
    "SHAPEFLOW_MOST_WORDS": 500_000,
    "SHAPEFLOW_MOST_LOG_ENTRIES": 100_000,
    "SHAPEFLOW_MOST_DATA_ENTRIES": 10_000_000,
    "SHAPEFLOW_MOST_PRODUCTS": 2_500_000_000,
    "SHAPEFLOW_MOST_PHASES_LAWS": 32,
}
"""Environment variable -> its default: pixels of an image; bytes of one document of a text (a line, a member of a tar
file, a page of a parquet file); bytes that a group of rows of a parquet file unpacks to; bytes of a file that is read
whole; words, numbers, marks and comments of a `.shape` file; files and folders that a search for logs looks at, and
that a folder of data holds; features x (width + 30) squared, summed over the random matrices whose spectra a
compilation computes; candidates of `laws from phases`."""


def bound(name: str) -> int:
    """A bound: the environment variable of this name, or its default. Raises Refused `wrong-bound`."""
    text = os.environ.get(name, "")
    if not text:
        return BOUNDS[name]
    if text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text) > 0:
        return int(text)
    message = f"`{name}` is `{text}`, not a whole number above 0"
    raise Refused(Diagnostic("wrong-bound", message, place="environment", help=f"write `{name}={BOUNDS[name]}`"))


def above(name: str, what: str, size: int, unit: str) -> str | None:
    """Why something is too large to be read, and how to read it; None if it is not."""
    most = bound(name)
    if size <= most:
        return None
    return f"{what} has {size:,} {unit}, more than {most:,}: set `{name}` to read it"
