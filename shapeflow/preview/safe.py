"""Makes text from untrusted files safe to show on a terminal."""

from __future__ import annotations

import unicodedata

_TURNS_TEXT_AROUND = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NO_LETTERS = {"Cc", "Cs"}
"""Unicode categories that are replaced: control characters, and surrogates, which cannot be encoded."""


def safe(text: str) -> str:
    """The text with control characters replaced, since a terminal would interpret them."""
    return "".join(map(_safe_character, text))


def _safe_character(character: str) -> str:
    if ord(character) < 32:
        return chr(0x2400 + ord(character))  # the Unicode picture of it: NUL is ␀
    odd = unicodedata.category(character) in _NO_LETTERS or character in _TURNS_TEXT_AROUND
    return "\ufffd" if odd else character
