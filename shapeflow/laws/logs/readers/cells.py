"""Cells of a log's rows: numbers, and the values of axes."""

from __future__ import annotations

import math
from typing import Any, Literal


def number(value: Any) -> float | Literal["blank", "no number"]:
    """A cell as a number, NaN and infinity included; an empty cell is blank, anything else no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "blank"
    if isinstance(value, bool):
        return "no number"
    try:
        return float(value)
    except (TypeError, ValueError):
        return "no number"
    except OverflowError:
        return math.inf


def same(cell: Any, wanted: Any) -> bool:
    """Is a cell the wanted value, as text or as a number?"""
    if cell is None:
        return False
    if str(cell).strip() == str(wanted):
        return True
    left, right = number(cell), number(wanted)
    return isinstance(left, float) and isinstance(right, float) and left == right
