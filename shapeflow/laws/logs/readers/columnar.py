"""Reads many lines of a plain table at once, by pyarrow. What it reads is what the reader of single lines reads:
anything unusual is left to that reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from shapeflow.laws.logs.readers.block import DISTINCT, Block, Numbers, Texts, Wanted
from shapeflow.laws.logs.readers.cells import number

PLAIN = bytes(range(0x20, 0x7F)) + b"\r\n"
"""The characters of plain lines, in addition to their separator. Others are allowed where they are valid text."""
WINDOW = 1 << 16
"""Lines are short if every window of this many bytes holds the end of a line."""
BOM = b"\xef\xbb\xbf"


def is_plain(data: bytes, separator: str) -> bool:
    """Return whether lines hold nothing that a reader of single lines treats in its own way: control characters, line
    ends within a line, invalid text, or lines that are very long."""
    sign = separator.encode()
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return False
    if rest := data.translate(None, PLAIN + sign):
        if min(rest) < 0x80 or BOM in data or separator == "\t":
            return False
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # A line of blanks and tabs is not a row.
    if separator == "\t" and (data.startswith((b"\t", b" ")) or b"\n\t" in data or b"\n " in data):
        return False
    return all(data.find(b"\n", at, at + WINDOW) >= 0 for at in range(0, len(data) - WINDOW, WINDOW))


@attrs.define
class Columnar:
    """Reads blocks of a table."""

    names: Sequence[str]
    separator: str
    wanted: Wanted | None
    """None: all columns, as texts until they have many different ones."""
    arrow: Any
    """The modules `pyarrow` and `pyarrow.csv`."""
    csv: Any
    broken: int = 0
    """The number of lines of the last block that do not have the columns of the header."""
    _many: set[int] = attrs.field(factory=set)
    """Columns that have shown more distinct numbers than are counted."""
    _odd: set[int] = attrs.field(factory=set)
    """Columns of numbers in which other cells were found."""

    def block(self, data: bytes) -> Block | None:
        """Return the rows in whole lines. None if they are not plain; `broken` is then undefined."""
        if not is_plain(data, self.separator):
            return None
        try:
            if b'"' in data:
                return self._of_strings(data)
            table = self._table(data, {str(index): self._kind(index) for index in self._needed()})
            cells = {index: self._cells(index, table.column(str(index))) for index in self._needed()}
        except self.arrow.ArrowInvalid:
            return self._of_strings(data)
        return self._of_strings(data) if None in cells.values() else self._made(table.num_rows, cells)

    def _needed(self) -> list[int]:
        wanted = self.wanted
        every = range(len(self.names))
        return [at for at in every if wanted is None or self.names[at] in wanted.texts | wanted.numbers]

    def _as_numbers(self, index: int) -> bool:
        name = self.names[index]
        if self.wanted is None:
            return index in self._many
        return name in self.wanted.numbers and name not in self.wanted.texts

    def _kind(self, index: int) -> Any:
        pa = self.arrow
        if self._as_numbers(index):
            return pa.string() if index in self._odd else pa.float64()
        return pa.dictionary(pa.int32(), pa.string())

    def _table(self, data: bytes, types: Mapping[str, Any]) -> Any:
        """Return the columns of lines. Raises ArrowInvalid."""
        csv = self.csv
        self.broken = 0
        return csv.read_csv(
            self.arrow.py_buffer(data),
            read_options=csv.ReadOptions(
                column_names=[str(index) for index in range(len(self.names))],
                use_threads=False,
                block_size=len(data) + 1,
            ),
            parse_options=csv.ParseOptions(
                delimiter=self.separator, quote_char=False, escape_char=False, invalid_row_handler=self._invalid
            ),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=[""], check_utf8=False
            ),
        )

    def _invalid(self, row: Any) -> str:
        self.broken += bool(row.text.strip())
        return "skip"

    def _of_strings(self, data: bytes) -> Block | None:
        """Return the rows in lines of which some have quotes, or of which a column is not what it was taken for."""
        quoted = b'"' in data
        pa = self.arrow
        needed = self._needed()
        # A quote in any column may hide a separator.
        read = list(range(len(self.names))) if quoted else needed
        cells: dict[int, Numbers | Texts | None] = {}
        try:
            table = self._table(data, {str(index): pa.string() for index in read})
        except pa.ArrowInvalid:
            return None
        if quoted and self.broken:
            return None
        for index in read:
            column = table.column(str(index))
            cells[index] = self._of_texts(index, column) if not quoted else self._dictionary(column, True)
        if None in cells.values():
            return None
        return self._made(table.num_rows, {index: cells[index] for index in needed})

    def _of_texts(self, index: int, column: Any) -> Numbers | Texts | None:
        pa = self.arrow
        if self._as_numbers(index):
            try:
                blank = pa.compute.equal(column, "")
                if (found := self._finite(pa.compute.if_else(blank, None, column).cast(pa.float64()))) is not None:
                    return found
            except pa.ArrowInvalid:
                pass
            self._odd.add(index)
        return self._dictionary(column, False)

    def _cells(self, index: int, column: Any) -> Numbers | Texts | None:
        """Return the cells of a column. None for numbers that are not finite."""
        types = self.arrow.types
        if types.is_string(column.type):
            return self._of_texts(index, column)
        return self._dictionary(column, False) if types.is_dictionary(column.type) else self._finite(column)

    def _finite(self, column: Any) -> Numbers | None:
        """Return a column of numbers. None if some are not finite: those are left to Python."""
        one = column.combine_chunks()
        values = one.to_numpy(zero_copy_only=False)
        # Empty cells become NaN.
        return Numbers(values) if np.isfinite(values).sum() == len(values) - one.null_count else None

    def _dictionary(self, column: Any, quoted: bool) -> Texts | None:
        """Return a column of texts, without their quotes. None if a quote is not at an end of its cell."""
        column = column.combine_chunks()
        if not self.arrow.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        texts = column.dictionary.to_pylist()
        if quoted:
            texts = [text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text for text in texts]
            if any('"' in text for text in texts):
                return None
        return Texts(texts, column.indices.to_numpy(zero_copy_only=False))

    def _made(self, count: int, cells: Mapping[int, Numbers | Texts | None]) -> Block:
        for index, one in cells.items():
            if self.wanted is None and isinstance(one, Texts) and index not in self._many and _many_numbers(one):
                self._many.add(index)
        return Block(count, {self.names[index]: one for index, one in cells.items() if one is not None})


def _many_numbers(cells: Texts) -> bool:
    """Return whether a column seems to hold numbers, more distinct ones than are counted."""
    some = cells.distinct[: 4 * DISTINCT]
    return len({text.strip() for text in some}) > DISTINCT and all(isinstance(number(text), float) for text in some)


def columnar(names: Sequence[str], separator: str, wanted: Wanted | None) -> Columnar | None:
    """Return the reader of blocks of a table. None if pyarrow is not installed, or if lines of the table have to be
    read one by one."""
    if len(set(names)) < len(names) or separator == " ":
        return None
    try:
        import pyarrow as pa
        import pyarrow.compute
        from pyarrow import csv
    except ImportError:
        return None
    return Columnar(names, separator, wanted, pa, csv)
