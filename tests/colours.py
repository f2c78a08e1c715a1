"""The rules of the TextMate grammar, applied by `re`, and the files that tests apply them to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("examples/**/*.shape"), *ROOT.glob("tests/**/*.shape")])

Rules = list[tuple[str, re.Pattern[str]]]


def rules(grammar: dict[str, Any]) -> Rules:
    """Name and pattern of each rule of a TextMate grammar that has no nested ones."""
    return [(each["name"], re.compile(each["match"])) for each in grammar["patterns"]]


def scopes(rules: Rules, text: str) -> Iterator[tuple[int, int, str]]:
    """The coloured parts of a text, each by its start, its end and the name of its rule."""
    for line in re.finditer(r"[^\r\n]+", text):
        at = 0
        while True:
            found = [(m.start(), n, m) for n, (_, rule) in enumerate(rules) if (m := rule.search(line[0], at)) and m[0]]
            if not found:
                break
            _, number, match = min(found, key=lambda each: each[:2])
            yield line.start() + match.start(), line.start() + match.end(), rules[number][0]
            at = match.end()
