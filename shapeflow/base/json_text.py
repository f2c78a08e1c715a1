"""JSON as the standard has it: what is read here can be written, and printed, again."""

from __future__ import annotations

import json
import math
from typing import Any


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The value of a JSON text. Raises ValueError, which says why, for what is no JSON and for what Python alone reads
    as such: NaN, Infinity, numbers that overflow (`1e999`), half a surrogate pair (`"\\ud800"`), and objects within
    objects until its stack ends. `finite=False` lets the numbers pass, as trainers write them into their logs."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        found = json.loads(text, parse_constant=_no_constant, parse_float=_finite) if finite else json.loads(text)
        # An escape is the only way to write half a pair in a text that was decoded.
        if "\\u" in text:
            _check_texts(found)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:20]}, more than a number can be")
    return number


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        half = next((letter for letter in value if "\ud800" <= letter <= "\udfff"), None)
        if half is not None:
            raise ValueError(f"it holds \\u{ord(half):04x}, which is half a character")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name)
            _check_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner)
