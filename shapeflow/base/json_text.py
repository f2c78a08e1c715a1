"""Strict JSON parser: every value that it returns can be written and printed again."""

from __future__ import annotations

import json
import math
from typing import Any


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The value of a JSON text.

    Raises ValueError with the reason for invalid JSON, for NaN, Infinity and numbers that overflow (`1e999`), for half
    a surrogate pair (`"\\ud800"`), and for nesting deeper than Python's stack. `finite=False` accepts NaN, Infinity and
    numbers that overflow, because trainers write them into logs."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        found = json.loads(text, parse_constant=_no_constant, parse_float=_finite) if finite else json.loads(text)
        # In a decoded text, only an escape can produce half a surrogate pair.
        if "\\u" in text:
            _check_texts(found)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"it contains {name}, which is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it contains {text[:20]}, which overflows")
    return number


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        half = next((letter for letter in value if "\ud800" <= letter <= "\udfff"), None)
        if half is not None:
            raise ValueError(f"it contains \\u{ord(half):04x}, half of a surrogate pair")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name)
            _check_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner)
