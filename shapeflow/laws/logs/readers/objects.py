"""Reads many lines of JSON objects at once, as columns. What it reads is what the reader of single lines reads:
anything unusual is left to that reader."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from shapeflow.laws.logs.readers import key_value, nested
from shapeflow.laws.logs.readers.block import DISTINCT, Block, Numbers, Texts, Wanted
from shapeflow.laws.logs.readers.lines import LONGEST
from shapeflow.laws.logs.readers.log import NOTHING, Row

BOM = "\ufeff"
_NAME = re.compile(rb'"([^"]*)"\s*:')
_PLAIN = re.compile(rb"(?:[ \t\r]*+(?:\{[^{}\n]*\})?+[ \t\r]*+\n)+")
_NUMBERS = {int, float, type(None)}


@attrs.define
class Objects:
    """Reads blocks of a file of JSON lines."""

    wanted: Wanted | None
    """None: all columns, as texts until they have many different ones."""
    _many: set[str] = attrs.field(factory=set)
    """Columns that have shown more distinct numbers than are counted."""

    def block(self, data: bytes) -> Block | None:
        """Return the rows in whole lines. None if they have to be read one by one."""
        if self.wanted == NOTHING and (found_names := _names(data)) is not None:
            return Block(len(found_names), {}, found_names)
        rows = _parsed(data)
        if rows is None:
            return None
        if data.count(b"{") > len(rows):
            rows = [nested.flat(row) for row in rows]
        kinds = dict.fromkeys(map(tuple, rows))
        if any(key_value.key_of(names) is not None for names in kinds):
            keys = ((row, key_value.key_of(row)) for row in rows)
            rows = [row if key is None else key_value.spread(row, key) for row, key in keys]
            kinds = dict.fromkeys(map(tuple, rows))
        names = tuple(dict.fromkeys(name for names in kinds for name in names))
        found: dict[str, Numbers | Texts] = {}
        for name in names:
            if self.wanted is None or name in self.wanted.texts or name in self.wanted.numbers:
                cells = self._cells(name, [row.get(name) for row in rows])
                if cells is None:
                    return None
                found[name] = cells
        return Block(len(rows), found, names)

    def _cells(self, name: str, cells: Sequence[Any]) -> Numbers | Texts | None:
        wanted = self.wanted
        as_numbers = name in self._many if wanted is None else name in wanted.numbers and name not in wanted.texts
        if as_numbers and set(map(type, cells)) <= _NUMBERS:
            try:
                # None becomes NaN.
                values = np.array(cells, float)
            except OverflowError:
                return None
            # Numbers that are not finite are no empty cells.
            if np.isfinite(values).sum() == len(cells) - cells.count(None):
                return Numbers(values)
        distinct: dict[str, int] = {}
        codes = np.array([distinct.setdefault(text, len(distinct)) for text in map(str, cells)], np.int32)
        if wanted is None and len(distinct) > DISTINCT and set(map(type, cells)) <= _NUMBERS:
            self._many.add(name)
        return Texts(tuple(distinct), codes)


def _names(data: bytes) -> tuple[str, ...] | None:
    """Return the names of the cells in whole lines, in order of appearance. None if the lines are unusual: with objects
    within objects, or with texts that hold marks of their own."""
    if b"\\" in data or b"\0" in data or _PLAIN.fullmatch(data) is None:
        return None
    try:
        names = tuple(name.decode() for name in dict.fromkeys(_NAME.findall(data)))
    except UnicodeDecodeError:
        return None
    return None if any(name.lower() == key_value.VALUE for name in names) else names


def _parsed(data: bytes) -> list[Row] | None:
    """Return the objects in whole lines. None if a line is no object, or one of them is unusual."""
    if b"\0" in data or b"\\u" in data:
        return None
    try:
        lines = [line for line in data.decode().split("\n") if line.strip()]
    except UnicodeDecodeError:
        return None
    if not lines or max(map(len, lines)) >= LONGEST // 4 or BOM.encode() in data:
        return None
    try:
        rows = json.loads(f"[{','.join(lines)}]")
    except (ValueError, RecursionError):
        return None
    return rows if len(rows) == len(lines) and set(map(type, rows)) == {dict} else None
