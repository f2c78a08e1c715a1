"""Edits that carry out the help of a diagnostic, where the help names the exact text to write."""

from __future__ import annotations

import re

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.editing.mistakes import Mistake

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REPLACE = re.compile(r"did you mean `([^`]+)`\?|write `([^`]+)`(?: instead)?")
_INSERT = re.compile(r"close it with `([^`]+)`")


@attrs.frozen
class Fix:
    """A title for the user, and the text that replaces a span."""

    title: str
    span: Span
    text: str


def fix(mistake: Mistake) -> Fix | None:
    """The edit that a diagnostic's help describes; None if it describes none that is exact."""
    told, span = mistake.diagnostic, mistake.span
    if told.help is None or told.at is None or told.at.span != span:
        return None
    if (found := _INSERT.fullmatch(told.help)) is not None:
        return Fix(told.help, Span(span.source, span.end, span.end), found[1])
    if told.code == "syntax" and told.help == "remove it":
        return Fix(f"remove `{span.text}`", span, "")
    if (found := _REPLACE.fullmatch(told.help)) is None:
        return None
    instead = found[1] or found[2]
    if found[1] is not None and not (_NAME.fullmatch(span.text) and _NAME.fullmatch(instead)):
        # The misspelt name is a part of the underlined text, such as a column in a template.
        return None
    if found[1] is None and told.code != "syntax":
        return None
    return Fix(f"replace `{span.text}` with `{instead}`", span, instead)
