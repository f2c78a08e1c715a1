"""Offsets in a text as lines and columns, as editors count them, and back."""

from __future__ import annotations

import re
from bisect import bisect_right

import attrs

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BYTES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
"""Encoding -> bytes of a unit."""


@attrs.frozen
class Places:
    """The lines of a text. Lines and columns count from 0, columns in units of an encoding; UTF-16 is the default of
    the protocol."""

    text: str
    starts: tuple[int, ...]
    encoding: str = "utf-16"

    @classmethod
    def of(cls, text: str, encoding: str = "utf-16") -> Places:
        return cls(text, (0, *(match.end() for match in _LINE_BREAK.finditer(text))), encoding)

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self.starts, offset) - 1
        return line, self._units(self.text[self.starts[line] : offset])

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and a column. A place outside the text becomes the nearest one in it."""
        if line >= len(self.starts):
            return len(self.text)
        start = self.starts[line]
        found = _LINE_BREAK.search(self.text, start)
        end = len(self.text) if found is None else found.start()
        for offset in range(start, end):
            if column <= 0:
                return offset
            column -= self._units(self.text[offset])
        return end

    def _units(self, text: str) -> int:
        """The units of a part of a line. Half a surrogate pair, which no file contains, counts as a unit."""
        return (
            len(text.encode(f"{self.encoding}{'-le' * (self.encoding != 'utf-8')}", "surrogatepass"))
            // (_BYTES[self.encoding])
        )
