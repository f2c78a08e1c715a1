"""Makes text from untrusted files safe to show on a terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

_TURNS_TEXT_AROUND = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NO_LETTERS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that are replaced: control characters, surrogates, which cannot be encoded, and characters that
begin a line for some programs only."""


def safe(text: str) -> str:
    """The text with control characters replaced, since a terminal would interpret them."""
    # Most text is ASCII, and checked in one call.
    return text if text.isascii() and text.isprintable() else "".join(map(_safe_character, text))


def safe_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(safe, text.split("\n")))


def safe_json(value: Any, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """A value as JSON. Characters that a terminal would interpret are written as escapes. Raises ValueError for a
    number that is not finite."""
    text = json.dumps(value, indent=indent, sort_keys=indent is not None, ensure_ascii=ascii_only, allow_nan=False)
    # Outside strings, JSON text has line breaks only; inside strings, `json` has escaped everything below U+0020.
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(one if one == "\n" or _safe_character(one) == one else f"\\u{ord(one):04x}" for one in text)


def _safe_character(character: str) -> str:
    if ord(character) < 32:
        return chr(0x2400 + ord(character))  # the Unicode picture of it: NUL is ␀
    odd = unicodedata.category(character) in _NO_LETTERS or character in _TURNS_TEXT_AROUND
    return "\ufffd" if odd else character
