"""Numbers that are written with a decimal comma, or with a mark between thousands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

Numerals = Literal["plain", "decimal_comma", "thousands_comma"]
"""How the numbers of a log are written: `3.91` and `1234`, `3,91` and `1.234`, or `3.91` and `1,234`."""

_DECIMAL = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?([eE][-+]?\d+)?")
_DOTTED = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+")
_SMALL = re.compile(r"[-+]?\d{1,3}")
_COMMA = re.compile(r"[-+]?[\d.]*,[\d.,]*\d([eE][-+]?\d+)?")


def translated(rows: Iterable[Mapping[str, Any]], numerals: Numerals) -> Iterator[Mapping[str, Any]]:
    """Yield the rows with numbers in the notation of Python."""
    for row in rows:
        yield {name: plain_of(cell, numerals) for name, cell in row.items()}


def plain_of(cell: Any, numerals: Numerals) -> Any:
    """Return a cell, in the notation of Python if it is the text of a number."""
    if not isinstance(cell, str) or numerals == "plain":
        return cell
    text = cell.strip()
    if numerals == "decimal_comma" and _DECIMAL.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    if numerals == "thousands_comma" and _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    return cell


def has_comma(cell: Any) -> bool:
    """Return whether a cell is a number with a comma."""
    return isinstance(cell, str) and _COMMA.fullmatch(cell.strip()) is not None


def has_dots(cells: Iterable[str]) -> bool:
    """Return whether the dots of whole numbers may stand between thousands: each is followed by three digits, and they
    are in all numbers above 999, or nothing but zeros follows them."""
    texts = [cell.strip() for cell in cells]
    dotted = [text for text in texts if _DOTTED.fullmatch(text)]
    small = [text for text in texts if _SMALL.fullmatch(text)]
    if len(dotted) < 2 or len(dotted) + len(small) < len(texts):
        return False
    return bool(small) or any(text.count(".") > 1 for text in dotted) or all(text.endswith("000") for text in dotted)


def notations(cells: Iterable[str]) -> tuple[Numerals, ...]:
    """Return the notations in which all cells are numbers. `1,234` alone is a number in two."""
    known = {"decimal_comma": _DECIMAL, "thousands_comma": _THOUSANDS}
    listed = [cell.strip() for cell in cells]
    plain = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")

    def fits(kind: str, cell: str) -> bool:
        whole = kind == "thousands_comma" and "," not in cell and plain.fullmatch(cell)
        return bool(known[kind].fullmatch(cell) or whole)

    return tuple(kind for kind in get_args(Numerals) if kind in known and all(fits(kind, cell) for cell in listed))
