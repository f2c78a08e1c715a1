"""The grammar of the `.shape` language, as data: `shape.lark` beside this file, for any tool that reads lark."""

from importlib import resources


def text() -> str:
    """The grammar, in lark's notation."""
    return (resources.files(__name__) / "shape.lark").read_text(encoding="utf-8")
