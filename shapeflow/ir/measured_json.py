"""Reads and writes measurements of what a program trains, as JSON: credits and profiles."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import cattrs

from shapeflow.base.sealed import strict
from shapeflow.base.shapes import Shape, Value


@functools.cache
def converter() -> cattrs.Converter:
    """The converter of files that contain a subject (`Program.subject`). Unknown fields are errors."""
    found = strict(cattrs.Converter(forbid_extra_keys=True))
    found.register_unstructure_hook(Shape, Shape.json)
    found.register_structure_hook(Shape, lambda value, _: Shape.from_json(value))
    found.register_structure_hook(Value, _value)
    found.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], _subject)
    return found


def _value(value: Any, _: Any) -> Value:
    if type(value) not in (int, str):
        raise ValueError(f"{value!r} is not a value of an axis")
    return value  # type: ignore[no-any-return]


def _subject(value: Any, _: Any) -> Mapping[str, Any]:
    """Check and copy a subject: each component in it, in a list or by name, has the keys `is` and `settings`."""
    parts = [each for part in value.values() if isinstance(part, list) for each in part]
    parts += [each for part in value.values() if isinstance(part, dict) for each in part.values()]
    if not all(set(each) == {"is", "settings"} and isinstance(each["settings"], dict) for each in parts):
        raise ValueError("`subject` contains something that is not a component")
    return dict(value)
