"""Parse and compare the cells of log rows."""

from __future__ import annotations

import math
from typing import Any, Literal


def number(value: Any) -> float | Literal["blank", "no number"]:
    """Return a cell as a number, which may be NaN or infinite. Return `blank` for an empty cell, and `no number` for
    any other content."""
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
    """Return whether a cell equals the wanted value, as text or as a number."""
    if cell is None:
        return False
    if str(cell).strip() == str(wanted):
        return True
    left, right = number(cell), number(wanted)
    return isinstance(left, float) and isinstance(right, float) and left == right
