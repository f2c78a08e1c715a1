"""Texts that users and contributors read contain no old-fashioned words."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

WRITE: dict[str, str] = {
    "anew": "again, or re-...",
    "beside": "next to, or in addition to",
    "besides": "in addition to, except",
    "foretell": "predict",
    "foretells": "predicts",
    "foretold": "predicted",
    "henceforth": "from now on",
    "so many": "N, or the number",
    "told": "reported, given, passed",
    "behind": "after",
}
"""Word -> what to write instead."""

WORDS = re.compile(rf"\b(?:{'|'.join(WRITE)})\b", re.IGNORECASE)

PLACES = [
    *("shapeflow", "backends", "grammar", "benchmarks", "docs", "editors", "examples", "tests"),
    *("README.md", "CONTRIBUTING.md"),
]


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *PLACES], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    ends = (".py", ".md", ".toml", ".shape", ".lark")
    return [name for name in listed if name.endswith(ends) and name != "tests/test_words.py"]


def _texts(name: str) -> Iterator[tuple[int, str]]:
    """Line numbers and texts: comments and string literals of Python files, every line of others."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if not name.endswith(".py"):
        yield from enumerate(text.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_texts_use_plain_words() -> None:
    files = _files()
    if not files:
        pytest.skip("not a git checkout")
    found = [
        f"{name}:{number}: `{word[0]}`: write {WRITE[word[0].lower()]}"
        for name in files
        for number, line in _texts(name)
        for word in WORDS.finditer(line)
    ]
    assert found == []
