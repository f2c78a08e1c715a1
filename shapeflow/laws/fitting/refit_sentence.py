"""The settings that a fitted law records of its source, and the sentence that fits the law again."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shapeflow.base.settings import Limits, defaults, limits, name_of, settings_of, written
from shapeflow.base.units import BASE

FIRST = "fit"
"""The source of laws that do not record a source."""
SOURCE = "is"
"""The key of `settings` that names the source. The word is reserved in the language, so no setting has this name."""


def recorded(source: Any) -> dict[str, Any]:
    """Return the settings of a law source as JSON values, with its name unless it is `fit`."""
    name = name_of(source)
    return written(source) if name == FIRST else {SOURCE: name, **written(source)}


def source_of(settings: Mapping[str, Any], sources: Mapping[str, Any]) -> Any | None:
    """Return the class of the source that recorded these settings. None if it is not in `sources`."""
    return sources.get(settings.get(SOURCE, FIRST))


def sentence(settings: Mapping[str, Any], sources: Mapping[str, Any]) -> str | None:
    """Return recorded settings as a sentence of a `.shape` file, such as `laws from fit("runs/*.csv", points: 40)`.
    Settings at their defaults are omitted.

    `sources`: name -> class. None if the source is not installed, does not have one of the settings, requires a setting
    that was not recorded, or if the language cannot express a value.
    """
    source = source_of(settings, sources)
    if source is None:
        return None
    fields, plain = settings_of(source), defaults(source)
    rest = {name: value for name, value in settings.items() if name != SOURCE}
    if not set(rest) <= set(fields) or any(name not in rest and name not in plain for name in fields):
        return None
    hints = typing.get_type_hints(source)
    said = []
    for name, field in fields.items():
        if name not in rest or (name in plain and rest[name] == plain[name]):
            continue
        kinds = (hints[name], *typing.get_args(hints[name]))
        choice = any(rest[name] in typing.get_args(each) for each in kinds if typing.get_origin(each) is Literal)
        value = rest[name] if choice else _said(rest[name], limits(field))
        if not isinstance(value, str) or (str in kinds and not isinstance(rest[name], str)):
            return None
        said.append(value if limits(field).first else f"{name}: {value}")
    return f"laws from {name_of(source)}({', '.join(said)})"


def _said(value: Any, bounds: Limits) -> str | None:
    """Return a value as text of a `.shape` file. None if the language cannot express it."""
    if isinstance(value, str):
        return None if '"' in value or "\n" in value or "\r" in value else f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        in_units = bool(bounds.units) and "number" not in bounds.units
        return _amount(value, bounds.units[0] if in_units else "number")
    if isinstance(value, Mapping) and set(value) == {"value", "of"} and isinstance(value["value"], int | float):
        return _amount(value["value"], value["of"]) if value["of"] in BASE else None
    if isinstance(value, Mapping):
        pairs = {name: _said(each, Limits()) for name, each in value.items() if isinstance(each, str | int | float)}
        if len(pairs) < len(value):
            return None
        return f"({', '.join(f'{name}: {each}' for name, each in pairs.items())})" if all(pairs.values()) else None
    if isinstance(value, Sequence):
        items = [_said(each, bounds) for each in value]
        return f"[{', '.join(each for each in items if each)}]" if all(items) else None
    return None


def _amount(value: float, dimension: Any) -> str | None:
    if isinstance(value, bool) or not math.isfinite(value):
        return None
    return f"{100 * value if dimension == 'ratio' else value!r} {BASE[dimension]}".strip()
