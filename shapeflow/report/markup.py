"""HTML as a value. Text becomes markup only by being escaped, so no text of a file can end a tag."""

from __future__ import annotations

from html import escape

import attrs

from shapeflow.base.safe import safe_lines

VOID = {"circle", "line", "meta", "path", "polygon", "polyline", "rect"}
"""Elements that are written without an end tag if they are empty."""


@attrs.frozen
class Markup:
    """HTML that is complete and safe to put into a page."""

    html: str


NOTHING = Markup("")
Child = str | Markup


def escaped(text: str) -> str:
    """A text for HTML, in content and in attributes. Control characters, and marks that turn text around, are replaced
    as on a terminal."""
    return escape(safe_lines(text), quote=True)


def node(tag: str, *children: Child, **attributes: str | float) -> Markup:
    """An element. Children that are texts are escaped. In names of attributes `_` stands for `-`, and a `_` at the end
    is left out: `class_`."""
    written = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    if tag in VOID and not children:
        return Markup(f"<{tag}{written}{'' if tag == 'meta' else '/'}>")
    return Markup(f"<{tag}{written}>{join(*children).html}</{tag}>")


def join(*children: Child) -> Markup:
    """Several parts, one after the other."""
    return Markup("".join(one.html if isinstance(one, Markup) else escaped(one) for one in children))


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
