"""Writes the files in `editors/vscode/` from the reserved words of the grammar: `python editors/generate.py`."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shapeflow.base.files import write_text
from shapeflow.language.parse import reserved_words

FOLDER = Path(__file__).parent / "vscode"
NAME = "[A-Za-z][A-Za-z0-9_]*"


def colours() -> dict[str, Any]:
    """The TextMate grammar: at each place of a line the first rule that matches there, of those that match first."""
    words = reserved_words()
    openers = "|".join(sorted(words.openers))
    others = "|".join(sorted({word for word in words.spelling.values() if word.isalpha()} - words.openers))
    rules = {
        "comment.line.number-sign": "#.*$",
        "string.quoted.double": r'"[^"\r\n]*"',
        # A reserved word is also the name of a setting (`seed: 3`), or a name in a list.
        "keyword.control": rf"^\s*({openers})\b(?!\s*[:,)\].])",
        "keyword.other": rf"\b({others})\b(?!\s*[:(])",
        "entity.name.function": rf"\b{NAME}(?=\s*\()",
        "variable.parameter": rf"\b{NAME}(?=\s*:)",
        "constant.numeric": r"[+-]?\b\d[\d_]*(\.\d[\d_]*)?([eE][+-]?\d+)?(\s*%)?",
        "keyword.operator": r"<=|>=|[<>*=]",
        "variable.other": rf"\b{NAME}\b",
        "punctuation": r"[()\[\],.:%]",
    }
    patterns = [{"name": f"{name}.shape", "match": match} for name, match in rules.items()]
    return {"name": "shape", "scopeName": "source.shape", "fileTypes": ["shape"], "patterns": patterns}


def files() -> dict[Path, str]:
    """Each file and its text."""
    brackets = [["(", ")"], ["[", "]"]]
    closed = [{"open": left, "close": right} for left, right in [*brackets, ['"', '"']]]
    language = {"comments": {"lineComment": "#"}, "brackets": brackets, "autoClosingPairs": closed}
    package = {
        "name": "shape",
        "displayName": "shape",
        "description": "Colours for the .shape files of shapeflow",
        "version": version("shapeflow"),
        "publisher": "shapeflow",
        "license": "Apache-2.0",
        "engines": {"vscode": "^1.75.0"},
        "categories": ["Programming Languages"],
        "contributes": {
            "languages": [
                {"id": "shape", "extensions": [".shape"], "configuration": "./language-configuration.json"},
            ],
            "grammars": [
                {"language": "shape", "scopeName": "source.shape", "path": "./syntaxes/shape.tmLanguage.json"},
            ],
        },
    }
    made = {
        "package.json": package,
        "language-configuration.json": language,
        "syntaxes/shape.tmLanguage.json": colours(),
    }
    return {FOLDER / name: json.dumps(value, indent=2) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        write_text(path, text)
