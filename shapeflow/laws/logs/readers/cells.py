"""Parse and compare the cells of log rows."""

from __future__ import annotations

import math
from typing import Any, Literal

BLANKS = frozenset(("", "-", "--", "na", "n/a", "#n/a", "<na>", "none", "null", "nil", "n.a.", "n.a", "?", "missing"))
"""Marks of a missing value, in lower case."""


def number(value: Any) -> float | Literal["blank", "no number"]:
    """Return a cell as a number, which may be NaN or infinite. Return `blank` for an empty cell or a mark of a missing
    value, and `no number` for any other content."""
    if value is None:
        return "blank"
    if isinstance(value, bool):
        return "no number"
    try:
        # Python accepts `1_000`, which no program writes for a number.
        return "no number" if isinstance(value, str) and "_" in value else float(value)
    except (TypeError, ValueError):
        return "blank" if isinstance(value, str) and value.strip().lower() in BLANKS else "no number"
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
