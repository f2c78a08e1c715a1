"""The grammar of the `.shape` language: the package data file `shape.lark`, for any tool that reads Lark grammars."""

from importlib import resources


def text() -> str:
    """Return the grammar in Lark's notation."""
    return (resources.files(__name__) / "shape.lark").read_text(encoding="utf-8")
